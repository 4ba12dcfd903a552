import type { Exclusion } from './exclusions.js';

/** What Jasmine tells of a finished test or group. */
interface Result {
  fullName: string;
  status: string;
  duration: number | null;
  failedExpectations: { message: string; stack: string }[];
}

const STACK_LINES = 6;
const SLOW_MS = 5000;

/** Decides which tests run, prints each failure as it happens, and counts. */
export class SuiteReporter {
  private readonly counts = { passed: 0, failed: 0, pending: 0 };
  private readonly excluded = new Map<Exclusion, number>();
  private readonly startedAt = performance.now();
  private readonly grep: string;

  constructor(exclusions: readonly Exclusion[], grep: string) {
    for (const exclusion of exclusions) this.excluded.set(exclusion, 0);
    this.grep = grep;
  }

  takes(name: string): boolean {
    for (const [exclusion, count] of this.excluded) {
      if (!name.startsWith(exclusion.name)) continue;
      this.excluded.set(exclusion, count + 1);
      return false;
    }
    return name.includes(this.grep);
  }

  specDone(result: Result): void {
    if (result.status === 'excluded') return;
    if (result.status === 'failed') this.fail(result);
    else this.counts[result.status === 'pending' ? 'pending' : 'passed']++;
    if (result.duration !== null && result.duration > SLOW_MS)
      console.log(`slow (${Math.round(result.duration)} ms): ${result.fullName}`);
  }

  /** A group fails by its own beforeAll or afterAll. */
  suiteDone(result: Result): void {
    if (result.status === 'failed') this.fail(result);
  }

  jasmineDone({ failedExpectations }: Pick<Result, 'failedExpectations'>): void {
    if (failedExpectations.length > 0) this.fail({ fullName: 'The run as a whole', failedExpectations });
  }

  /** Prints the figures. @param expected tests, at least. @returns whether so many passed or were left out, and none failed. */
  report(expected: number): boolean {
    let leftOut = 0;
    for (const [{ name, reason }, count] of this.excluded) {
      leftOut += count;
      if (count > 0) console.log(`left out ${count}: ${name}: ${reason}`);
      else
        this.fail({
          fullName: `No test begins with "${name}": remove its exclusion`,
          failedExpectations: [],
        });
    }
    const { passed, failed, pending } = this.counts;
    const seconds = Math.round((performance.now() - this.startedAt) / 1000);
    console.log(`${passed} passed, ${failed} failed, ${pending} pending in ${seconds} s`);
    if (passed + failed + leftOut < expected)
      console.log(`FAILED: ${expected} tests or more were expected to run.`);
    return failed === 0 && passed + leftOut >= expected;
  }

  private fail({ fullName, failedExpectations }: Pick<Result, 'fullName' | 'failedExpectations'>): void {
    this.counts.failed++;
    console.log(`FAILED: ${fullName}`);
    for (const { message, stack } of failedExpectations) {
      console.log(`  ${message}`);
      for (const line of stack.split('\n').slice(1, 1 + STACK_LINES)) console.log(`  ${line}`);
    }
  }
}
