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
  const { graph, featureLengths } = buildGraph(prefix);
  const program = new Program(graph, settings);
  const pictureLength = prefix.inputSize ** 2 * 3;
  return {
    run(pictures) {
      const features = featureLengths.map((length) => new Float32Array(pictures.length * length));
      for (let first = 0; first < pictures.length; first += CHUNK) {
        const part = pictures.slice(first, first + CHUNK);
        const input = new Float32Array(part.length * pictureLength);
        part.forEach((picture, index) => input.set(picture, index * pictureLength));
        const targets = features.map((values, output) =>
          values.subarray(first * featureLengths[output]!, (first + part.length) * featureLengths[output]!),
        );
        let asked = 0;
        const results = program.run([input], () => targets[asked++]!, { n: part.length });
        for (const [output, target] of targets.entries()) {
          if (results[output] !== target) target.set(results[output]!);
        }
      }
      return features;
    },
    dispose: () => program.dispose(),
  };
}

function buildGraph({ inputSize, means, layers, outputs }: Prefix): {
  graph: GraphBuilder;
  featureLengths: number[];
} {
  const graph = new GraphBuilder();
  const rgb = graph.input('rgb', 'float32', ['n', inputSize, inputSize, 3]);
  const centered = graph.node('Sub', [
    graph.transpose(rgb, [0, 3, 1, 2]),
    graph.floats(means.toReversed(), [3, 1, 1]),
  ]);
  const bgr = graph.node('Gather', [centered, graph.indices(Int32Array.of(2, 1, 0))], { axis: 1 });
  let applied: Applied = { value: bgr, shape: [3, inputSize, inputSize], isFlat: false };
  const featureLengths: number[] = [];
  for (const [index, layer] of layers.entries()) {
    // Flattening and pooling what is flat already change nothing.
    if (!applied.isFlat) applied = apply(graph, applied, layer);
    if (outputs.includes(index + 1)) featureLengths.push(putOut(graph, `features${index + 1}`, applied));
  }
  return { graph, featureLengths };
}

/** What a layer gives: [n, ...shape], or where it is flat [n, the same], channels last. */
interface Applied {
  value: Value;
  shape: Shape;
  isFlat: boolean;
}

/** Makes it an output, channels last. @returns its length, for one picture. */
function putOut(graph: GraphBuilder, name: string, { value, shape, isFlat }: Applied): number {
  const length = shape.reduce((product, side) => product * side, 1);
  const last = isFlat ? value : graph.transpose(value, [0, 2, 3, 1]);
  graph.output(name, 'float32', ['n', length], graph.reshape(last, [-1, length]));
  return length;
}

function apply(
  graph: GraphBuilder,
  { value, shape: [channels, height, width] }: Applied,
  layer: PrefixLayer,
): Applied {
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
