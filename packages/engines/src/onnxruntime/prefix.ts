import type { CompiledPrefix, Prefix, PrefixLayer } from '@headstart/contracts';
import { GraphBuilder, type Value } from './graph/builder.js';
import { Program } from './runtime/program.js';

/** Pictures of one run: more cost memory and gain nothing. */
const CHUNK = 2;

/** Channels first, as ONNX has them, without the batch. */
type Shape = readonly [channels: number, height: number, width: number];

/**
 * Makes one ONNX graph of the frozen prefix, preprocessing included: RGB [n, S, S, 3] float32 in, features out. Its weights
 * are constants, so ONNX Runtime chooses a layout by itself and keeps it from the first layer to the last.
 */
export function compilePrefix(
  prefix: Prefix,
  settings: { threads: number; zeroCopy: boolean },
): CompiledPrefix {
  const { graph, featureLength } = buildGraph(prefix);
  const program = new Program(graph, settings);
  const pictureLength = prefix.inputSize ** 2 * 3;
  return {
    run(pictures) {
      const features = new Float32Array(pictures.length * featureLength);
      for (let first = 0; first < pictures.length; first += CHUNK) {
        const part = pictures.slice(first, first + CHUNK);
        const input = new Float32Array(part.length * pictureLength);
        part.forEach((picture, index) => input.set(picture, index * pictureLength));
        const target = features.subarray(first * featureLength, (first + part.length) * featureLength);
        const [result] = program.run([input], () => target, { n: part.length });
        if (result !== target) target.set(result!);
      }
      return features;
    },
    dispose: () => program.dispose(),
  };
}

function buildGraph({ inputSize, means, layers }: Prefix): { graph: GraphBuilder; featureLength: number } {
  const graph = new GraphBuilder();
  const rgb = graph.input('rgb', 'float32', ['n', inputSize, inputSize, 3]);
  const centered = graph.node('Sub', [
    graph.transpose(rgb, [0, 3, 1, 2]),
    graph.floats(means.toReversed(), [3, 1, 1]),
  ]);
  let value = graph.node('Gather', [centered, graph.indices(Int32Array.of(2, 1, 0))], { axis: 1 });
  let shape: Shape = [3, inputSize, inputSize];
  let isFlat = false;
  for (const layer of layers) {
    if (isFlat) continue; // Flattening and pooling what is flat already change nothing.
    ({ value, shape, isFlat } = apply(graph, value, shape, layer));
  }
  const [channels, height, width] = shape;
  const featureLength = channels * height * width;
  const last = isFlat ? value : graph.transpose(value, [0, 2, 3, 1]);
  graph.output('features', 'float32', ['n', featureLength], graph.reshape(last, [-1, featureLength]));
  return { graph, featureLength };
}

/** @param value [n, ...shape]. A flat result is channels last. */
function apply(
  graph: GraphBuilder,
  value: Value,
  [channels, height, width]: Shape,
  layer: PrefixLayer,
): { value: Value; shape: Shape; isFlat: boolean } {
  switch (layer.type) {
    case 'Conv2D': {
      const filters = layer.bias.length;
      // Folded into a constant when the session is made.
      const kernel = graph.transpose(graph.floats(layer.kernel, [3, 3, channels, filters]), [3, 2, 0, 1]);
      const sum = graph.node('Conv', [value, kernel, graph.floats(layer.bias)], {
        kernel_shape: [3, 3],
        pads: [1, 1, 1, 1],
      });
      return { value: graph.node('Relu', [sum]), shape: [filters, height, width], isFlat: false };
    }
    case 'MaxPooling2D': {
      const pooled = graph.node('MaxPool', [value], { kernel_shape: [2, 2], strides: [2, 2] });
      return {
        value: pooled,
        shape: [channels, Math.floor(height / 2), Math.floor(width / 2)],
        isFlat: false,
      };
    }
    case 'GlobalAveragePooling2D':
    case 'GlobalMaxPooling2D': {
      const operator = layer.type === 'GlobalMaxPooling2D' ? 'GlobalMaxPool' : 'GlobalAveragePool';
      return { value: graph.node(operator, [value]), shape: [channels, 1, 1], isFlat: true };
    }
    case 'Flatten':
      return { value: graph.transpose(value, [0, 2, 3, 1]), shape: [channels, height, width], isFlat: true };
  }
}
