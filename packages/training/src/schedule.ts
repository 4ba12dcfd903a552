import type { Stage } from '@headstart/contracts';

/**
 * The learning rate of one step of a stage.
 *
 * A warm-up rises linearly to the stage's rate, reached at its last step. Behind it a constant stays, `step` multiplies
 * by its factor every so many epochs, and `cosine` falls to 0 at the end of the stage (SGDR without restarts,
 * Loshchilov and Hutter, arXiv:1608.03983).
 * @param step 0-based, counted over the whole stage.
 */
export function learningRateAt(
  { learningRate, schedule, epochs }: Stage,
  step: number,
  stepsPerEpoch: number,
): number {
  const warmupSteps = schedule.warmupEpochs * stepsPerEpoch;
  if (step < warmupSteps) return (learningRate * (step + 1)) / warmupSteps;
  const stepsBehind = step - warmupSteps;
  switch (schedule.type) {
    case 'constant':
      return learningRate;
    case 'step':
      return (
        learningRate * schedule.factor! ** Math.floor(stepsBehind / (schedule.everyEpochs! * stepsPerEpoch))
      );
    case 'cosine':
      return (
        (learningRate * (1 + Math.cos((Math.PI * stepsBehind) / (epochs * stepsPerEpoch - warmupSteps)))) / 2
      );
  }
}
