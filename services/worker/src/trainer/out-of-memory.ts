import { AppError, type Phase, type Plan } from '@headstart/contracts';
import { isOutOfMemory } from '@headstart/engines';

/** Every other error as it is; one of memory in words that help: what was tried, and what to try next. */
export function explainOutOfMemory(error: unknown, phase: Phase, plan: Plan): unknown {
  if (!isOutOfMemory(error)) return error;
  const { batchSize } = plan.training;
  const details = { phase, batchSize, inputSize: plan.inputSize };
  // Features are computed a few pictures at a time, whatever the batch size.
  if (phase !== 'training' || batchSize === 1) {
    return new AppError(
      'out_of_memory',
      `The device ran out of memory in the phase "${phase}", with pictures of ${plan.inputSize} pixels a side. Post the job again with a smaller model.inputSize, or run the worker on a device with more memory.`,
      { cause: error, details },
    );
  }
  const suggestedBatchSize = Math.floor(batchSize / 2);
  return new AppError(
    'out_of_memory',
    `The device ran out of memory training batches of ${batchSize} pictures. Post the job again with training.batchSize ${suggestedBatchSize}, or less.`,
    {
      cause: error,
      details: { ...details, suggestedBatchSize },
      errors: [
        {
          field: 'training.batchSize',
          message: 'Too large for the memory of this device',
          received: batchSize,
          allowed: `1 to ${suggestedBatchSize}`,
        },
      ],
    },
  );
}
