import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import '@tensorflow/tfjs-backend-cpu';
import { buildNetwork } from '@headstart/training';
import h5wasm from 'h5wasm/node';
import { expect, it } from 'vitest';
import { writeKerasFile } from '../../packages/training/src/keras-file.js';
import {
  drawPicture,
  EXPORTED_CASES,
  KERAS_FIXTURES,
  orderOf,
  PICTURES,
  planOfCase,
  TRAINING_CASES,
} from '../support/keras.js';
import { SHARED_FOLDER } from '../support/shared.js';
import { randomBase } from '../support/training.js';
import { drawPictures } from './pictures.js';

/** Not a test but a twin of some: hands Keras the tests' inputs, and has it write what they compare with. */
it('records what Keras computes', async () => {
  const inputs = await mkdtemp(join(tmpdir(), 'headstart-keras-'));
  try {
    await writeInputs(inputs);
    await drawPictures(fileURLToPath(new URL('pictures', KERAS_FIXTURES)));
    const script = fileURLToPath(new URL('record.py', import.meta.url));
    const shared = existsSync(SHARED_FOLDER) ? [SHARED_FOLDER] : [];
    const python = spawn(
      process.env.KERAS_PYTHON ?? 'python3',
      ['-B', script, inputs, fileURLToPath(KERAS_FIXTURES), ...shared],
      { stdio: 'inherit' },
    );
    const [code] = (await once(python, 'exit')) as [number];
    expect(code).toBe(0);
  } finally {
    await rm(inputs, { recursive: true });
  }
});

/**
 * inputs.json: plans, labels and orders; pictures-SIZE.bin: RGB bytes, train then val; weights.h5: the values that every
 * run starts from; CASE.h5: a model as Headstart writes it for Keras.
 */
async function writeInputs(folder: string): Promise<void> {
  const cases = Object.fromEntries(
    Object.keys(TRAINING_CASES).map((name) => {
      const plan = planOfCase(name);
      const orders = Array.from({ length: plan.training.epochs }, (_, i) => orderOf(plan, i + 1));
      return [name, { plan, orders }];
    }),
  );
  const labels = { train: PICTURES.train.map(labelOf), val: PICTURES.val.map(labelOf) };
  await writeFile(join(folder, 'inputs.json'), JSON.stringify({ labels, cases }));
  for (const size of new Set(Object.values(cases).map(({ plan }) => plan.inputSize))) {
    const pictures = [...PICTURES.train, ...PICTURES.val];
    const bytes = pictures.map((picture) => Uint8Array.from(drawPicture(picture, size)));
    await writeFile(join(folder, `pictures-${size}.bin`), Buffer.concat(bytes));
  }

  await h5wasm.ready;
  const file = new h5wasm.File(join(folder, 'weights.h5'), 'w');
  for (const [name, { plan }] of Object.entries(cases)) {
    const network = buildNetwork(plan, await randomBase(plan));
    const layers = plan.layers.filter(({ parameters }) => parameters !== 0);
    const group = file.create_group(name);
    for (const layer of layers) {
      const layerGroup = group.create_group(layer.name);
      for (const { name: variableName, variable } of network.variablesOf([layer.name]))
        layerGroup.create_dataset({
          name: variableName.split('/')[1]!,
          data: variable.dataSync<'float32'>(),
          shape: variable.shape,
          dtype: '<f4',
        });
    }
    if (EXPORTED_CASES.includes(name)) await writeKerasFile(join(folder, `${name}.h5`), network);
    network.dispose();
  }
  file.close();
}

function labelOf({ label }: { label: number }): number {
  return label;
}
