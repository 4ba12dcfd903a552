import type { Progress } from '@headstart/contracts';
import { createMeter, createProgressThrottle, FromTrainer, retain, ToTrainer } from '@headstart/worker';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

function progress(phase: Progress['phase'], done: number, total = 10): Progress {
  return {
    phase,
    done,
    total,
    unit: 'steps',
    remainingSeconds: null,
    picturesPerSecond: null,
    epoch: null,
    epochs: null,
    step: null,
    steps: null,
  };
}

describe('the progress throttle', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function collect() {
    const sent: string[] = [];
    const throttle = createProgressThrottle(
      ({ phase, done }) => sent.push(`${phase} ${done}`),
      250,
      () => Date.now(),
    );
    return { sent, throttle };
  }

  it('passes one report an interval, the latest of those held back', () => {
    const { sent, throttle } = collect();
    for (const done of [0, 1, 2]) throttle.report(progress('training', done));
    expect(sent).toEqual(['training 0']);
    vi.advanceTimersByTime(250);
    expect(sent).toEqual(['training 0', 'training 2']);
    vi.advanceTimersByTime(1000);
    expect(sent).toHaveLength(2);
  });

  it('passes a new phase at once, behind the last report of the one before', () => {
    const { sent, throttle } = collect();
    throttle.report(progress('features', 0));
    throttle.report(progress('features', 9));
    throttle.report(progress('training', 0));
    expect(sent).toEqual(['features 0', 'features 9', 'training 0']);
  });

  it('passes the end of a phase at once, and what is held back when flushed', () => {
    const { sent, throttle } = collect();
    throttle.report(progress('upload', 0));
    throttle.report(progress('upload', 10));
    throttle.report(progress('upload', 4));
    throttle.flush();
    throttle.flush();
    expect(sent).toEqual(['upload 0', 'upload 10', 'upload 4']);
  });
});

describe('the meter of a phase', () => {
  it('knows neither pace nor rest at the start, both later, and starts anew with another unit', () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const meter = createMeter('dataset');
    expect(meter({ done: 0, total: 40, unit: 'bytes' })).toMatchObject({ remainingSeconds: null });
    vi.advanceTimersByTime(2000);
    expect(meter({ done: 10, total: 40, unit: 'bytes' })).toMatchObject({
      remainingSeconds: 6,
      picturesPerSecond: null,
    });
    expect(meter({ done: 0, total: 8, unit: 'pictures' })).toMatchObject({ remainingSeconds: null });
    vi.advanceTimersByTime(1000);
    expect(meter({ done: 4, total: 8, unit: 'pictures' })).toMatchObject({
      remainingSeconds: 1,
      picturesPerSecond: 4,
    });
    vi.useRealTimers();
  });
});

describe('the checkpoints that are kept', () => {
  it.each([
    [['1.0'], 1, ['1.0']],
    [['1.0', '2.0', '3.0'], 3, ['2.0', '3.0']],
    [['1.0', '2.0', '3.0'], 1, ['1.0', '2.0', '3.0']],
    [['1.0', '1.7', '2.0', '2.5'], 1, ['1.0', '2.0', '2.5']],
    [['1.0', '1.7', '1.9', '2.0'], 3, ['1.9', '2.0']],
    [['4.0', '5.0', '6.0'], null, ['5.0', '6.0']],
  ])('of epochs and steps %j with the best epoch %j: %j', (names, best, expected) => {
    const stored = names.map((name) => {
      const [epoch, step] = name.split('.').map(Number);
      return { name, epoch: epoch!, step: step! };
    });
    const { kept, dropped } = retain(stored, best);
    expect(kept.map(({ name }) => name)).toEqual(expected);
    expect(dropped.map(({ name }) => name)).toEqual(names.filter((name) => !expected.includes(name)));
  });
});

describe('the protocol', () => {
  it('carries what both sides say through JSON', () => {
    const stop = { type: 'stop', reason: 'timed_out' };
    expect(ToTrainer.parse(JSON.parse(JSON.stringify(stop)))).toEqual(stop);
    const report = { type: 'progress', progress: progress('training', 3) };
    expect(FromTrainer.parse(JSON.parse(JSON.stringify(report)))).toEqual(report);
  });

  it.each([
    { type: 'stop', reason: 'tired' },
    { type: 'start', assignment: { jobId: '1' } },
    { type: 'done' },
  ])('refuses %j from a supervisor', (message) => {
    expect(ToTrainer.safeParse(message).success).toBe(false);
  });

  it('refuses numbers that JSON cannot carry', () => {
    const bad = { type: 'progress', progress: progress('training', Number.NaN) };
    expect(FromTrainer.safeParse(JSON.parse(JSON.stringify(bad))).success).toBe(false);
  });
});
