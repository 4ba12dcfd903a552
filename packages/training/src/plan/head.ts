import type { HeadLayer, PlanLayer, Pooling } from '@headstart/contracts';

const POOLING_TYPES = {
  flatten: 'Flatten',
  avg: 'GlobalAveragePooling2D',
  max: 'GlobalMaxPooling2D',
} as const satisfies Record<Pooling, PlanLayer['type']>;

export const OUTPUT_LAYER = 'predictions';
export const RESCALING_LAYER = 'head_rescaling';

/**
 * The head's layers, from the pooling to the softmax.
 *
 * Between them the features are brought to unit scale: VGG19's run into the hundreds, and a fresh head on them starts from
 * a loss in the hundreds too. On 244 photographs at block3_pool, 30 epochs, it ends at 0.73 without and 0.79 with this.
 *
 * @param features shape [height, width, channels] of the base's output.
 * @param classCount number of classes, or null while it is not known.
 */
export function headLayers(
  features: readonly [number, number, number],
  pooling: Pooling,
  head: HeadLayer[],
  classCount: number | null,
): PlanLayer[] {
  const [height, width, channels] = features;
  let units = pooling === 'flatten' ? height * width * channels : channels;
  const layers: PlanLayer[] = [
    {
      name: `head_${pooling === 'flatten' ? 'flatten' : `${pooling}_pool`}`,
      type: POOLING_TYPES[pooling],
      outputShape: [units],
      parameters: 0,
      trained: false,
    },
  ];
  layers.push({
    name: RESCALING_LAYER,
    type: 'Rescaling',
    outputShape: [units],
    parameters: 0,
    trained: false,
  });
  head.forEach((layer, index) => {
    layers.push({
      name: `head_dense_${index + 1}`,
      type: 'Dense',
      outputShape: [layer.units],
      parameters: (units + 1) * layer.units,
      trained: true,
    });
    units = layer.units;
    if (layer.dropout > 0)
      layers.push({
        name: `head_dropout_${index + 1}`,
        type: 'Dropout',
        outputShape: [units],
        parameters: 0,
        trained: false,
      });
  });
  layers.push({
    name: OUTPUT_LAYER,
    type: 'Dense',
    outputShape: [classCount],
    parameters: classCount === null ? null : (units + 1) * classCount,
    trained: true,
  });
  return layers;
}
