import type { Phase, Progress } from '@headstart/contracts';

/** Where training stands, beside what the phase has done. */
export interface EpochPosition {
  epoch: number;
  epochs: number;
  step: number;
  steps: number;
}

/** Measures a phase's pace: what is done, how fast, and how long the rest will take at that pace. */
export class ProgressMeter {
  private readonly startedAt = performance.now();
  private readonly phase: Phase;
  private readonly unit: Progress['unit'];
  private readonly total: number;
  private readonly doneBefore: number;

  /** @param doneBefore what an earlier attempt had done already: it says nothing about this one's pace. */
  constructor(phase: Phase, unit: Progress['unit'], total: number, doneBefore = 0) {
    this.phase = phase;
    this.unit = unit;
    this.total = total;
    this.doneBefore = doneBefore;
  }

  /** @param pictures pictures handled by this attempt in this phase, if the phase handles any. */
  at(done: number, pictures: number | null, position?: EpochPosition): Progress {
    const seconds = (performance.now() - this.startedAt) / 1000;
    const pace = (done - this.doneBefore) / seconds;
    return {
      phase: this.phase,
      unit: this.unit,
      done,
      total: this.total,
      remainingSeconds: pace > 0 ? (this.total - done) / pace : null,
      picturesPerSecond: pictures === null || seconds === 0 ? null : pictures / seconds,
      epoch: position?.epoch ?? null,
      epochs: position?.epochs ?? null,
      step: position?.step ?? null,
      steps: position?.steps ?? null,
    };
  }
}
