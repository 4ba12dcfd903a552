import type { Plan, Stage } from '@headstart/contracts';
import * as tf from '@tensorflow/tfjs-core';
import { crossEntropy, l2Penalty } from './loss.js';
import type { DropoutSeed, NamedVariable, Network } from './network.js';
import type { Optimizer } from './optimizers/index.js';

/** What a stage's steps work on. */
export interface StepContext {
  plan: Plan;
  stage: Stage;
  network: Network;
  variables: readonly NamedVariable[];
  optimizer: Optimizer;
  /** In the order of the classes. */
  classWeights: readonly number[];
}

/** Sums over a batch, so that batches of different sizes add up to an epoch. */
export interface BatchResult {
  /** Loss of the batch: the mean over its pictures, regularisation included. */
  loss: number;
  /** Pictures whose most probable class is their own. */
  correct: number;
}

/**
 * One step: forward, loss, gradients of what the stage trains, update.
 * @param xs [B, ...] float32, input of the first layer behind the cached prefix. @param labels [B] class indices.
 */
export async function trainStep(
  context: StepContext,
  xs: tf.Tensor,
  labels: readonly number[],
  learningRate: number,
  dropoutSeed: DropoutSeed,
): Promise<BatchResult> {
  const { plan, stage, network, variables, optimizer } = context;
  const firstTrained = plan.layers.findIndex(({ name }) => stage.trainedLayers.includes(name));
  const result = tf.tidy(() => {
    // Frozen layers run outside of the gradient's tape: nothing of theirs is kept for the way back.
    const frozen = network.apply(xs, stage.cachedLayers, firstTrained);
    let logits: tf.Tensor2D | undefined;
    const { value, grads } = tf.variableGrads(
      () => {
        logits = tf.keep(network.apply(frozen, firstTrained, plan.layers.length, dropoutSeed) as tf.Tensor2D);
        const weights = labels.map((label) => context.classWeights[label]!);
        const loss = tf.mean(
          tf.mul(crossEntropy(logits, labels, plan.training.labelSmoothing), tf.tensor1d(weights)),
        );
        const penalty = l2Penalty(plan, variables);
        return (penalty ? tf.add(loss, penalty) : loss) as tf.Scalar;
      },
      variables.map(({ variable }) => variable),
    );
    optimizer.apply(grads, learningRate);
    const stacked = tf.stack([value, countCorrect(logits!, labels)]);
    logits!.dispose();
    return stacked;
  });
  return readResult(result);
}

/** Loss, hits and probabilities of one batch, nothing changed. @returns probabilities [B, classes], row by row. */
export async function evaluateStep(
  { plan, stage, network, variables }: Omit<StepContext, 'optimizer' | 'classWeights'>,
  xs: tf.Tensor,
  labels: readonly number[],
): Promise<BatchResult & { probabilities: Float32Array }> {
  const [result, probabilities] = tf.tidy(() => {
    const logits = network.apply(xs, stage.cachedLayers, plan.layers.length) as tf.Tensor2D;
    const penalty = l2Penalty(plan, variables);
    const loss = tf.mean(crossEntropy(logits, labels, plan.training.labelSmoothing));
    return [
      tf.stack([penalty ? tf.add(loss, penalty) : loss, countCorrect(logits, labels)]),
      tf.softmax(logits),
    ];
  });
  const values = (await probabilities.data()) as Float32Array;
  probabilities.dispose();
  return { ...(await readResult(result)), probabilities: values };
}

function countCorrect(logits: tf.Tensor2D, labels: readonly number[]): tf.Scalar {
  const hits = tf.equal(tf.argMax(logits, 1), tf.tensor1d([...labels], 'int32'));
  return tf.sum(tf.cast(hits, 'float32'));
}

/** One read for both values: on a GPU every read waits for the device. */
async function readResult(result: tf.Tensor): Promise<BatchResult> {
  const [loss, correct] = (await result.data()) as Float32Array;
  result.dispose();
  return { loss: loss!, correct: correct! };
}
