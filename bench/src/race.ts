import type { Case } from './cases.js';
import { type Contestant, type Racer, start } from './contestant.js';

/** What one contestant did in one case. */
export interface Result {
  benchCase: Case;
  contestant: string;
  description: string;
  /** One per round, in order; a contestant that is much slower than the rest sits some rounds out. */
  milliseconds: (number | null)[];
  peakBytes: number;
}

export interface Race {
  results: Result[];
  /** Contestants that cannot do the case, and why. */
  leftOut: { contestant: string; reason: string }[];
}

export interface RaceOptions {
  threads: number;
  rounds: number;
  /** A contestant sits out rounds, but for the first three, when its runs have taken this long. */
  secondsEach: number;
}

const WARM_UPS = 2;
const FEWEST_ROUNDS = 3;

/**
 * Runs a case: every contestant in a process of its own, warmed up, then one run each per round, in turn. What else the
 * machine does thus meets all of them alike, and no two ever run at the same time.
 */
export async function race(
  contestants: readonly Contestant[],
  benchCase: Case,
  options: RaceOptions,
): Promise<Race> {
  const racers: Racer[] = [];
  const leftOut: Race['leftOut'] = [];
  try {
    for (const contestant of contestants) {
      const racer = await start(contestant, benchCase, options.threads);
      if (typeof racer === 'string') leftOut.push({ contestant: contestant.name, reason: racer });
      else {
        racers.push(racer);
        for (let i = 0; i < WARM_UPS; i++) await racer.run();
      }
    }
    return { results: await runRounds(racers, benchCase, options), leftOut };
  } finally {
    await Promise.all(racers.map((racer) => racer.end()));
  }
}

async function runRounds(
  racers: readonly Racer[],
  benchCase: Case,
  { rounds, secondsEach }: RaceOptions,
): Promise<Result[]> {
  const results = racers.map(({ contestant, description }): Result => ({
    benchCase,
    contestant: contestant.name,
    description,
    milliseconds: [],
    peakBytes: 0,
  }));
  for (let round = 0; round < rounds; round++) {
    // Every round starts with another one, so that none always follows the same.
    for (let turn = 0; turn < racers.length; turn++) {
      const index = (round + turn) % racers.length;
      const result = results[index]!;
      const spentMs = result.milliseconds.reduce<number>((sum, value) => sum + (value ?? 0), 0);
      if (round >= FEWEST_ROUNDS && spentMs > secondsEach * 1000) {
        result.milliseconds.push(null);
        continue;
      }
      const { milliseconds, peakBytes } = await racers[index]!.run();
      result.milliseconds.push(milliseconds);
      result.peakBytes = peakBytes;
    }
  }
  return results;
}
