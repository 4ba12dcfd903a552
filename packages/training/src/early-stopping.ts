import type { EpochMetrics, Plan } from '@headstart/contracts';
import type { BestEpoch } from './checkpoint.js';

/** Early stopping exports the best epoch; otherwise the last is exported, as Keras leaves it. */
export function exportsBest({ training }: Plan): boolean {
  return training.earlyStopping !== null;
}

/** The value that tells epochs apart. */
export function monitored({ training }: Plan, metrics: EpochMetrics): number {
  return metrics[training.earlyStopping?.monitor ?? 'valLoss'];
}

/** True where an epoch beats the best so far by more than the smallest gain that counts. */
export function isBetter(plan: Plan, metrics: EpochMetrics, best: BestEpoch | null): boolean {
  if (best === null) return true;
  const { monitor, minDelta } = plan.training.earlyStopping ?? { monitor: 'valLoss', minDelta: 0 };
  const gain =
    monitor === 'valLoss' ? best.value - monitored(plan, metrics) : monitored(plan, metrics) - best.value;
  return gain > minDelta;
}

/** @param epochs epochs done so far, over all stages. */
export function ranOutOfPatience(plan: Plan, epochs: number, best: BestEpoch | null): boolean {
  const { earlyStopping } = plan.training;
  return earlyStopping !== null && best !== null && epochs - best.epoch >= earlyStopping.patience;
}
