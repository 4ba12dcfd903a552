import { cpus, totalmem } from 'node:os';
import { type Case, gigaflopOf } from './cases.js';
import type { Race, Result } from './race.js';

const BASELINE = 'PyTorch';

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Median of the rounds' own ratios to PyTorch's time, or null where one of the two did not run. */
function ratioTo(baseline: Result | undefined, result: Result): number | null {
  const ratios = result.milliseconds.flatMap((value, round) => {
    const other = baseline?.milliseconds[round];
    return value === null || other === null || other === undefined ? [] : [value / other];
  });
  return ratios.length === 0 ? null : median(ratios);
}

function timesOf(result: Result): number[] {
  return result.milliseconds.filter((value) => value !== null);
}

/** Speed of the fastest run, in 10^9 operations per second: the slower ones were disturbed. */
function bestGigaflops(result: Result): number {
  return gigaflopOf(result.benchCase) / (Math.min(...timesOf(result)) / 1000);
}

/** The fastest GEMM of anyone is what the machine is taken to be able to do. */
export function gemmPeak({ results }: Race): number {
  return Math.max(...results.map(bestGigaflops));
}

/** One line of the table per contestant. */
export function rowsOf(race: Race, peakGigaflops: number): string[] {
  const baseline = race.results.find(({ contestant }) => contestant === BASELINE);
  return race.results.map((result) => {
    const { benchCase, contestant, peakBytes } = result;
    const perPicture = timesOf(result).map((value) => value / benchCase.batch);
    const middle = median(perPicture);
    const ratio = ratioTo(baseline, result);
    const gigaflops = gigaflopOf(benchCase) / benchCase.batch / (middle / 1000);
    return row([
      benchCase.title,
      contestant,
      digits(1000 / middle),
      `${digits(middle)} (${digits(Math.min(...perPicture))} to ${digits(Math.max(...perPicture))})`,
      ratio === null ? '' : ratio.toFixed(2),
      `${Math.round((gigaflops / peakGigaflops) * 100)} %`,
      `${(peakBytes / 1e9).toFixed(2)} GB`,
    ]);
  });
}

export function table(races: readonly Race[], peakGigaflops: number): string {
  return [
    row([
      'Case',
      'Engine',
      'pictures per second',
      'ms per picture (least to most)',
      "of PyTorch's time",
      'of GEMM peak',
      'peak memory',
    ]),
    row(['---', '---', '---:', '---:', '---:', '---:', '---:']),
    ...races.flatMap((race) => rowsOf(race, peakGigaflops)),
  ].join('\n');
}

/** Machine, GEMM peak, versions, table, and who was left out: all of it in Markdown. */
export function report(
  { gemm, races, notes }: { gemm: Race; races: readonly Race[]; notes: readonly string[] },
  { threads, rounds }: { threads: number; rounds: number },
): string {
  const peak = gemmPeak(gemm);
  const versions = new Map(gemm.results.map(({ contestant, description }) => [contestant, description]));
  const reasons = new Map<string, Case[]>();
  for (const { leftOut, results } of races) {
    for (const { contestant, reason } of leftOut) {
      const key = `${contestant}: ${reason}`;
      reasons.set(key, [...(reasons.get(key) ?? []), ...results.slice(0, 1).map((r) => r.benchCase)]);
    }
  }
  return [
    `Measured on ${new Date().toISOString().slice(0, 10)}: ${cpus()[0]?.model.trim()}, ${threads} threads, ${Math.round(totalmem() / 2 ** 30)} GiB of memory, Node ${process.versions.node}; ${rounds} rounds.`,
    '',
    `GEMM of ${gemm.results[0]?.benchCase.size} x ${gemm.results[0]?.benchCase.size} float32, fastest run: ${gemm.results.map((result) => `${result.contestant} ${Math.round(bestGigaflops(result))} GFLOP/s`).join(', ')}. The largest is the peak that the shares below refer to.`,
    '',
    ...[...versions].map(([contestant, description]) => `- ${contestant}: ${description}`),
    '',
    table(races, peak),
    '',
    ...[
      ...notes,
      ...[...reasons].map(([reason, cases]) => `${reason} (${cases.map(({ name }) => name).join(', ')})`),
    ].map((note) => `- Left out: ${note}`),
  ].join('\n');
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

function digits(value: number): string {
  return value.toFixed(value < 20 ? 1 : 0);
}
