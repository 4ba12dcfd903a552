import type { Plan } from '@headstart/contracts';
import * as tf from '@tensorflow/tfjs-core';
import type { NamedVariable } from './network.js';

/** Weight of each class in the loss, in the order of the classes. "balanced" is n / (classes x count), as scikit-learn. */
export function classWeightsOf(plan: Plan, labels: readonly number[]): number[] {
  const classes = plan.classes!;
  const { classWeights } = plan.training;
  if (classWeights === null) return classes.map(() => 1);
  if (classWeights !== 'balanced') {
    // Not by the name alone: a class may be called "constructor".
    const given = new Map(Object.entries(classWeights));
    return classes.map((name) => given.get(name) ?? 1);
  }
  const counts = classes.map((_, label) => labels.filter((other) => other === label).length);
  return counts.map((count) => labels.length / (classes.length * count));
}

/**
 * Softmax cross-entropy per picture, as keras.losses.CategoricalCrossentropy with label smoothing: the targets are
 * (1 - s) one-hot + s / classes.
 * @param logits [B, classes] float32. @param labels [B] class indices. @returns [B] float32.
 */
export function crossEntropy(
  logits: tf.Tensor2D,
  labels: readonly number[],
  labelSmoothing: number,
): tf.Tensor1D {
  const classCount = logits.shape[1];
  // Cast behind it: the wasm backend's OneHot writes int32 bits whatever dtype it is asked for.
  const oneHot = tf.cast(tf.oneHot(tf.tensor1d([...labels], 'int32'), classCount), 'float32');
  const targets = tf.add(tf.mul(oneHot, 1 - labelSmoothing), labelSmoothing / classCount);
  return tf.neg(tf.sum(tf.mul(targets, tf.logSoftmax(logits)), 1));
}

/** The head's L2 terms: sum over its kernels of l2 x sum(kernel^2), as keras.regularizers.L2. @returns scalar, or null for none. */
export function l2Penalty(plan: Plan, variables: readonly NamedVariable[]): tf.Scalar | null {
  const terms = plan.head.flatMap(({ l2 }, index) => {
    const kernel = variables.find(({ name }) => name === `head_dense_${index + 1}/kernel`);
    return l2 > 0 && kernel ? [tf.mul<tf.Scalar>(tf.sum(tf.square(kernel.variable)), l2)] : [];
  });
  return terms.length === 0 ? null : tf.addN(terms);
}
