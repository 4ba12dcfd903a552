import type { Job, Phase, Progress } from '@headstart/contracts';
import { SingleBar } from 'cli-progress';

const WORDS: Record<Phase, string> = {
  dataset: 'Data set',
  plan: 'Plan',
  features: 'Features',
  training: 'Training',
  export: 'Export',
  upload: 'Upload',
};

export interface ProgressView {
  update(job: Job): void;
  /** Leaves the terminal as it was. */
  close(): void;
}

/** Shows a job's phases as they go by: as bars on a terminal, else as lines. */
export function createProgressView(stream: NodeJS.WriteStream): ProgressView {
  return stream.isTTY ? barView(stream) : lineView((line) => stream.write(`${line}\n`));
}

function barView(stream: NodeJS.WriteStream): ProgressView {
  let bar: SingleBar | null = null;
  let phase: Phase | null = null;
  const close = (complete: boolean) => {
    if (complete) bar?.update(bar.getTotal(), { rest: '' });
    bar?.stop();
    bar = null;
  };
  return {
    update(job) {
      const { progress } = job;
      const current = job.status === 'running' ? job.phase : null;
      if (current !== phase) {
        close(current !== null || job.status === 'succeeded');
        phase = current;
      }
      if (!phase || progress?.phase !== phase || progress.total === null) return;
      if (!bar) {
        bar = new SingleBar({
          format: '  {name} [{bar}] {percentage}% {rest}',
          stream,
          hideCursor: true,
          barsize: 30,
        });
        bar.start(progress.total, progress.done, { name: WORDS[phase].padEnd(9), rest: '' });
      }
      bar.setTotal(progress.total);
      bar.update(progress.done, { rest: describe(job, progress) });
    },
    close: () => close(false),
  };
}

/** One line when a phase begins, and about ten for the epochs. */
function lineView(print: (line: string) => void): ProgressView {
  let phase: Phase | null = null;
  let epochs = 0;
  return {
    update(job) {
      for (const epoch of job.metrics.slice(epochs)) {
        const every = Math.ceil(job.plan.training.epochs / 10);
        if (epoch.epoch % every !== 0 && epoch.epoch !== job.plan.training.epochs) continue;
        const speed = `${epoch.picturesPerSecond.toFixed(0)} pictures/s`;
        print(`    epoch ${epoch.epoch}: ${accuracies(epoch)}, ${speed}`);
      }
      epochs = job.metrics.length;
      if (job.status !== 'running' || job.phase === phase) return;
      phase = job.phase;
      if (phase) print(`  ${WORDS[phase]} ...`);
    },
    close: () => undefined,
  };
}

function describe(job: Job, progress: Progress): string {
  const parts: string[] = [];
  const last = job.metrics.at(-1);
  if (progress.epoch !== null && progress.epochs !== null)
    parts.push(`epoch ${progress.epoch}/${progress.epochs}`);
  if (progress.picturesPerSecond !== null) parts.push(`${progress.picturesPerSecond.toFixed(0)} pictures/s`);
  if (progress.remainingSeconds !== null) parts.push(`${Math.ceil(progress.remainingSeconds)} s left`);
  if (last && progress.phase === 'training') parts.push(accuracies(last));
  return parts.join(' | ');
}

function accuracies({ accuracy, valAccuracy }: { accuracy: number; valAccuracy: number }): string {
  return `accuracy ${percent(accuracy)}, validation ${percent(valAccuracy)}`;
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}
