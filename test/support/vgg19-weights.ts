import h5wasm, { type Group } from 'h5wasm/node';
import { BLOCK_1_TO_3_WEIGHTS } from './shared.js';

/** Writes VGG19's weights without the top, 80 MB: the real ones up to block3, random ones behind. */
export async function writeWeights(path: string): Promise<void> {
  await h5wasm.ready;
  const real = new h5wasm.File(BLOCK_1_TO_3_WEIGHTS, 'r');
  const file = new h5wasm.File(path, 'w');
  copyGroup(real, file);
  let channels = 256;
  for (const layer of ['block4', 'block5'].flatMap((block) => [1, 2, 3, 4].map((i) => `${block}_conv${i}`))) {
    // He et al. 2015: the values neither grow nor shrink from layer to layer.
    const limit = Math.sqrt(6 / (9 * channels));
    const kernel = Float32Array.from({ length: 9 * channels * 512 }, () => (Math.random() * 2 - 1) * limit);
    const group = file.create_group(layer);
    group.create_dataset({ name: 'kernel:0', data: kernel, shape: [3, 3, channels, 512], dtype: '<f4' });
    group.create_dataset({ name: 'bias:0', data: new Float32Array(512), shape: [512], dtype: '<f4' });
    channels = 512;
  }
  file.close();
  real.close();
}

function copyGroup(from: Group, to: Group): void {
  for (const key of from.keys()) {
    const entity = from.get(key);
    if (entity instanceof h5wasm.Group) copyGroup(entity, to.create_group(key));
    else if (entity instanceof h5wasm.Dataset)
      to.create_dataset({
        name: key,
        data: entity.value as Float32Array,
        shape: entity.shape ?? [],
        dtype: '<f4',
      });
  }
}
