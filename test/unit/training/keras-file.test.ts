import { join } from 'node:path';
import { selectEngine } from '@headstart/engines';
import { buildNetwork, loadBaseWeights } from '@headstart/training';
import h5wasm, { type Dataset, type Group } from 'h5wasm/node';
import { expect, it } from 'vitest';
import { writeKerasFile } from '../../../packages/training/src/keras-file.js';
import { EXPORTED_CASES, planOfCase, readFixture } from '../../support/keras.js';
import { randomBase, temporaryFolder } from '../../support/training.js';

/** What the file says of itself. Recorded of files that Keras has opened, and found to predict the same. */
interface Layout {
  config: unknown;
  layers: Record<string, Record<string, number[]>>;
}

const recorded = readFixture<Record<string, Layout>>('exported.json');

it.each(EXPORTED_CASES)('%s: writes the file that Keras has opened', async (name) => {
  await selectEngine('wasm', { trainsConvolutions: false });
  const plan = planOfCase(name);
  const base = await randomBase(plan);
  const network = buildNetwork(plan, base);
  const path = join(await temporaryFolder(), 'model.h5');
  await writeKerasFile(path, network);

  const file = new h5wasm.File(path, 'r');
  const root = file.get('model_weights') as Group;
  const layers = (root.get_attribute('layer_names', true) as string[]).map((layer) => {
    const group = root.get(layer) as Group;
    const names = group.get_attribute('weight_names', true) as string[];
    return [layer, Object.fromEntries(names.map((weight) => [weight, (group.get(weight) as Dataset).shape]))];
  });
  const config: unknown = JSON.parse(file.get_attribute('model_config', true) as string);
  const layout: unknown = { config, layers: Object.fromEntries(layers) as unknown };
  expect(layout).toEqual(recorded[name]);
  for (const { name: variableName, variable } of network.variablesOf(Object.keys(recorded[name]!.layers))) {
    const layer = variableName.split('/')[0]!;
    const { value } = root.get(`${layer}/${variableName}:0`) as Dataset;
    expect(Buffer.from((value as Float32Array).buffer).equals(Buffer.from(variable.dataSync().buffer))).toBe(
      true,
    );
  }
  file.close();
  network.dispose();

  // A later job may start from it.
  const reloaded = await loadBaseWeights(
    { ...plan, weights: { source: 'h5', uri: 'file:///model.h5' } },
    { fetchFile: () => Promise.resolve(path), imagenetFile: () => Promise.resolve(path) },
  );
  expect(reloaded.digest).toBe(base.digest);
});
