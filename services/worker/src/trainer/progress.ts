import type { Phase, Progress } from '@headstart/contracts';

export type Count = Pick<Progress, 'done' | 'total' | 'unit'>;

const UNITS: Record<Phase, Progress['unit']> = {
  dataset: 'files',
  plan: 'bytes',
  features: 'pictures',
  training: 'steps',
  export: 'files',
  upload: 'bytes',
};

/** The first report of a phase: nothing is done, and nothing known. */
export function phaseBegins(phase: Phase): Progress {
  return progressOf(phase, { done: 0, total: null, unit: UNITS[phase] }, null);
}

/** Measures the pace of what a phase counts, and says how long the rest will take. Counting anew starts it again. */
export function createMeter(phase: Phase): (count: Count) => Progress {
  let unit: Count['unit'] | null = null;
  let startedAtMs = 0;
  let doneAtStart = 0;
  let lastDone = 0;
  return (count) => {
    if (count.unit !== unit || count.done < lastDone) {
      unit = count.unit;
      startedAtMs = performance.now();
      doneAtStart = count.done;
    }
    lastDone = count.done;
    const seconds = (performance.now() - startedAtMs) / 1000;
    const perSecond = seconds > 0 ? (count.done - doneAtStart) / seconds : 0;
    return progressOf(phase, count, perSecond > 0 ? perSecond : null);
  };
}

function progressOf(phase: Phase, { done, total, unit }: Count, perSecond: number | null): Progress {
  return {
    phase,
    done,
    total,
    unit,
    remainingSeconds: perSecond === null || total === null ? null : (total - done) / perSecond,
    picturesPerSecond: unit === 'pictures' ? perSecond : null,
    epoch: null,
    epochs: null,
    step: null,
    steps: null,
  };
}
