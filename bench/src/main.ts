/**
 * npm run bench -- [gpu] [--case NAME]... [--engine NAME]... [--threads N] [--rounds N] [--seconds N] [--python FILE] [--write]
 * npm run bench -- --profile --engine NAME --case NAME
 *
 * The project's engines and PyTorch side by side; `gpu` takes the engines that compute on a GPU, and PyTorch on the same. `--write` puts the results into bench/README.md; `--profile` shows where
 * the time of one case goes on one engine.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ENGINE_NAMES, type EngineName } from '@headstart/engines';
import { format, resolveConfig } from 'prettier';
import { CASES, GEMM, GPU_CASES, GPU_GEMM } from './cases.js';
import {
  type Contestant,
  engineContestant,
  findPyTorch,
  type PyTorchDevice,
  pytorchContestants,
} from './contestant.js';
import { KernelProfile } from './profile.js';
import { type Race, race } from './race.js';
import { gemmPeak, report, rowsOf } from './report.js';
import { prepare } from './work.js';

const README = new URL('../README.md', import.meta.url);
const MARKS = ['<!-- results: npm run bench -- --write -->', '<!-- end of results -->'] as const;
const GPU_ENGINES: readonly EngineName[] = ['tensorflow', 'webgpu'];
/** `auto` is one of the others; `webgpu` is for GPUs. */
const ENGINES = ENGINE_NAMES.filter((name) => name !== 'auto' && name !== 'webgpu');
const PYTHONS = ['python3', '/usr/bin/python3'];
/** Many: the fastest counts. */
const GEMM_ROUNDS = 25;
const PROFILED_RUNS = 5;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    case: { type: 'string', multiple: true },
    engine: { type: 'string', multiple: true },
    threads: { type: 'string', default: String(availableParallelism()) },
    rounds: { type: 'string', default: '9' },
    seconds: { type: 'string', default: '20' },
    python: { type: 'string', multiple: true, default: PYTHONS },
    profile: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});

if (positionals.some((word) => word !== 'gpu'))
  throw new Error(`Not an argument: "${positionals.join(' ')}". Allowed is "gpu".`);
const onGpu = positionals.length > 0;
if (onGpu && options.write) throw new Error('--write keeps the figures of a CPU: "gpu" prints its own.');
const device: PyTorchDevice = onGpu ? 'cuda' : 'cpu';
const allCases = [...CASES, ...GPU_CASES];
const cases =
  options.case?.map((name) => {
    const found = allCases.find((candidate) => candidate.name === name);
    if (!found)
      throw new Error(`--case ${name}: allowed are ${allCases.map((each) => each.name).join(', ')}.`);
    return found;
  }) ?? (onGpu ? GPU_CASES : CASES);
const engines = (options.engine ?? (onGpu ? GPU_ENGINES : ENGINES)).map((name) => {
  if (!(ENGINE_NAMES as readonly string[]).includes(name))
    throw new Error(`--engine ${name}: allowed are ${ENGINE_NAMES.join(', ')}.`);
  return name as EngineName;
});
const settings = {
  threads: Number(options.threads),
  rounds: Number(options.rounds),
  secondsEach: Number(options.seconds),
};

if (options.profile) await profile();
else await compare();

async function compare(): Promise<void> {
  const notes: string[] = [];
  // An engine that was named may do with a GPU that the CPU emulates.
  const needsGpu = onGpu && options.engine === undefined;
  const contestants: Contestant[] = engines.map((engine) => engineContestant(engine, needsGpu));
  const python = await findPyTorch(options.python, device);
  if (python) contestants.unshift(...pytorchContestants(python, device));
  else
    notes.push(
      `PyTorch: none for ${onGpu ? 'a GPU of this machine' : 'the CPU'} in ${options.python.join(' or ')}; see "PyTorch" above`,
    );

  const gemm = await race(contestants, onGpu ? GPU_GEMM : GEMM, { ...settings, rounds: GEMM_ROUNDS });
  if (!gemm.results.some(({ contestant }) => (engines as string[]).includes(contestant))) {
    console.log('Nothing to measure: no engine loads.');
    for (const { contestant, reason } of gemm.leftOut) console.log(`- ${contestant}: ${reason}`);
    return;
  }
  const able = contestants.filter(({ name }) => gemm.results.some(({ contestant }) => contestant === name));
  for (const { contestant, reason } of gemm.leftOut) notes.push(`${contestant}: ${reason}`);
  const peak = gemmPeak(gemm);
  console.log(`GEMM peak: ${Math.round(peak)} GFLOP/s`);
  const races: Race[] = [];
  for (const benchCase of cases) {
    const done = await race(able, benchCase, settings);
    races.push(done);
    for (const line of rowsOf(done, peak)) console.log(line);
  }
  const text = report({ gemm, races, notes }, settings);
  console.log(`\n${text}`);
  if (options.write) await writeResults(text);
}

async function writeResults(results: string): Promise<void> {
  const before = await readFile(README, 'utf8');
  const [start, end] = MARKS.map((mark) => before.indexOf(mark)) as [number, number];
  const after = `${before.slice(0, start)}${MARKS[0]}\n\n${results}\n\n${before.slice(end)}`;
  const filepath = fileURLToPath(README);
  await writeFile(README, await format(after, { ...(await resolveConfig(filepath)), filepath }));
}

async function profile(): Promise<void> {
  const [engine, benchCase] = [engines[0]!, cases[0]!];
  const { run } = await prepare(engine, { threads: settings.threads }, benchCase);
  for (let i = 0; i < 2; i++) await run();
  const kernels = new KernelProfile();
  kernels.install();
  const startedAt = performance.now();
  for (let i = 0; i < PROFILED_RUNS; i++) await run();
  const totalMs = performance.now() - startedAt;
  console.log(
    `${benchCase.title} on ${engine}, ${PROFILED_RUNS} runs of ${(totalMs / PROFILED_RUNS).toFixed(0)} ms\n`,
  );
  console.log(kernels.table(PROFILED_RUNS, totalMs));
}
