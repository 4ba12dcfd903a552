/**
 * VGG19 as keras.applications.vgg19 defines it: the table every other part reads.
 *
 * No tfjs here, so that the API can plan a job without loading a backend.
 */

export type BaseLayer =
  | { name: string; type: 'InputLayer' }
  | { name: string; type: 'Conv2D'; inputChannels: number; filters: number }
  | { name: string; type: 'MaxPooling2D' };

const CONVOLUTIONS_PER_BLOCK = [2, 2, 4, 4, 4];
const FILTERS_PER_BLOCK = [64, 128, 256, 512, 512];
export const INPUT_CHANNELS = 3;

/** The layers without the top; the position in the array is the index in Keras's `model.layers`. */
export const VGG19_LAYERS: readonly BaseLayer[] = [
  { name: 'input_1', type: 'InputLayer' },
  ...convolutionalLayers(),
];

function convolutionalLayers(): BaseLayer[] {
  let inputChannels = INPUT_CHANNELS;
  return CONVOLUTIONS_PER_BLOCK.flatMap((convolutions, blockIndex): BaseLayer[] => {
    const block = `block${blockIndex + 1}`;
    const filters = FILTERS_PER_BLOCK[blockIndex]!;
    const layers: BaseLayer[] = [];
    for (let i = 1; i <= convolutions; i++) {
      layers.push({ name: `${block}_conv${i}`, type: 'Conv2D', inputChannels, filters });
      inputChannels = filters;
    }
    return [...layers, { name: `${block}_pool`, type: 'MaxPooling2D' }];
  });
}

/** The base cut behind `featureLayer`, which must be one of the names. */
export function layersUpTo(featureLayer: string): readonly BaseLayer[] {
  return VGG19_LAYERS.slice(0, VGG19_LAYERS.findIndex((layer) => layer.name === featureLayer) + 1);
}

/** Shape [height, width, channels] of a layer's output, for the shape of its input. */
export function outputShapeOf(
  layer: BaseLayer,
  input: readonly [number, number, number],
): [number, number, number] {
  const [height, width, channels] = input;
  switch (layer.type) {
    case 'InputLayer':
      return [height, width, channels];
    case 'Conv2D':
      return [height, width, layer.filters];
    case 'MaxPooling2D':
      return [Math.floor(height / 2), Math.floor(width / 2), channels];
  }
}

/** A convolution has 3x3 kernels and a bias; the other layers have nothing to learn. */
export function parametersOf(layer: BaseLayer): number {
  return layer.type === 'Conv2D' ? 3 * 3 * layer.inputChannels * layer.filters + layer.filters : 0;
}
