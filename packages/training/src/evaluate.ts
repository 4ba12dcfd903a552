import type { Picture } from '@headstart/contracts';
import { batchesInOrder, type BatchSource, forEachBatch } from './batches.js';
import type { Evaluation } from './run.js';
import { evaluateStep, type StepContext } from './train-step.js';

/** One pass over the validation pictures. @param beforeBatch throws to leave it. */
export async function evaluate(
  context: StepContext,
  source: BatchSource,
  pictures: readonly Picture[],
  beforeBatch: () => Promise<void>,
): Promise<Evaluation> {
  const { classes, training } = context.plan;
  const classCount = classes!.length;
  const probabilities: Float32Array[] = [];
  let lossSum = 0;
  let correct = 0;
  await forEachBatch(
    source,
    batchesInOrder(pictures.length, training.batchSize),
    null,
    async (xs, indices) => {
      await beforeBatch();
      const labels = Array.from(indices, (index) => pictures[index]!.label);
      const result = await evaluateStep(context, xs, labels);
      lossSum += result.loss * indices.length;
      correct += result.correct;
      indices.forEach((_, row) =>
        probabilities.push(result.probabilities.slice(row * classCount, (row + 1) * classCount)),
      );
    },
  );
  return { loss: lossSum / pictures.length, accuracy: correct / pictures.length, probabilities };
}
