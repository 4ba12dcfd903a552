import { type TensorInfo, util } from '@tensorflow/tfjs-core';
import { GraphBuilder, type Value } from '../graph/builder.js';
import { kernel, type OnnxKernel } from './kernel.js';

/**
 * Updates of the optimizers in packages/training, each as one kernel: with tfjs's ops an update passes through memory four
 * to twelve times, of weights that are larger than the caches.
 *
 * Inputs: the variable, its gradient, the optimizer's slots; attributes: numbers. Results: the variable, the slots; all of
 * the variable's shape, float32.
 */

type Arithmetic = Record<'add' | 'sub' | 'mul' | 'div', (a: Value, b: Value) => Value> & {
  sqrt(x: Value): Value;
};

/** The formula in terms of named values. @returns results in the order variable, slots. */
type Formula = (values: Record<string, Value>, arithmetic: Arithmetic) => Value[];

function update(
  name: string,
  inputNames: readonly string[],
  numberNames: readonly string[],
  formula: Formula,
): OnnxKernel {
  const build = () => {
    const graph = new GraphBuilder();
    const values = Object.fromEntries([
      ...inputNames.map((input) => [input, graph.input(input, 'float32', ['n'])]),
      ...numberNames.map((number) => [number, graph.input(number, 'float32', [])]),
    ]) as Record<string, Value>;
    for (const [index, result] of formula(values, arithmeticOf(graph)).entries())
      graph.output(`result${index}`, 'float32', ['n'], result);
    return graph;
  };
  return kernel<Record<string, TensorInfo>, Record<string, number>>(name, ({ inputs, attrs, backend }) => {
    const { shape } = inputs[inputNames[0]!]!;
    const results = backend.runInChunks(
      name,
      build,
      inputNames.map((input) => backend.valuesOf(inputs[input]!)),
      numberNames.map((number) => Float32Array.of(attrs[number]!)),
      { size: util.sizeFromShape(shape), pictureBytes: ELEMENT_BYTES },
    );
    return results.map((values) => backend.tensor({ shape, dtype: 'float32' }, values));
  });
}

/** Several values stand between the inputs and the results: chunks are smaller than elsewhere, to stay in the caches. */
const ELEMENT_BYTES = 64;

function arithmeticOf(graph: GraphBuilder): Arithmetic {
  return {
    add: (a, b) => graph.node('Add', [a, b]),
    sub: (a, b) => graph.node('Sub', [a, b]),
    mul: (a, b) => graph.node('Mul', [a, b]),
    div: (a, b) => graph.node('Div', [a, b]),
    sqrt: (x) => graph.node('Sqrt', [x]),
  };
}

/** m = momentum m - rate g; w += m. */
const momentum = update(
  'MomentumUpdate',
  ['variable', 'gradient', 'momentum'],
  ['learningRate', 'decay'],
  ({ variable, gradient, momentum, learningRate, decay }, { add, sub, mul }) => {
    const velocity = sub(mul(momentum!, decay!), mul(gradient!, learningRate!));
    return [add(variable!, velocity), velocity];
  },
);

/** m += (g - m) (1 - beta1); v += (g g - v) (1 - beta2); w -= m rate / (sqrt(v) + epsilon), the rate corrected for the bias. */
const adam = update(
  'AdamUpdate',
  ['variable', 'gradient', 'mean', 'variance'],
  ['correctedRate', 'meanShare', 'varianceShare', 'epsilon'],
  (values, { add, sub, mul, div, sqrt }) => {
    const { variable, gradient, correctedRate, meanShare, varianceShare, epsilon } = values;
    const mean = add(values.mean!, mul(sub(gradient!, values.mean!), meanShare!));
    const square = mul(gradient!, gradient!);
    const variance = add(values.variance!, mul(sub(square, values.variance!), varianceShare!));
    const change = div(mul(mean, correctedRate!), add(sqrt(variance), epsilon!));
    return [sub(variable!, change), mean, variance];
  },
);

export const optimizerUpdates: readonly OnnxKernel[] = [momentum, adam];
