import { once } from 'node:events';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { HeadstartClient } from '@headstart/client';
import { AppError, type Job, type JobRequestInput } from '@headstart/contracts';
import { drawPictures, PICTURE_CLASSES } from './pictures/draw.js';
import { createProgressView } from './quickstart/progress.js';
import { curlLines, describeResult } from './quickstart/report.js';
import { type Folders, prepareFolders, type Stack, startStack } from './quickstart/stack.js';
import { chooseWeights, IMAGENET_URL } from './quickstart/weights.js';
import { withTimeout } from './timeout.js';

const PICTURES_PER_CLASS = 50;
const SEED = 1;
/** Small pictures and few epochs: seconds instead of minutes on two cores. */
const MODEL = { inputSize: 96, featureLayer: 'block2_pool' };
const TRAINING = { epochs: 80, batchSize: 16, seed: SEED };
const POLL_INTERVAL_MS = 250;
const CANCEL_TIMEOUT_MS = 2_000;

/**
 * From nothing to a trained model: starts the service on this machine, draws pictures, posts a job and waits for it.
 *
 * Ctrl-C at any moment cancels the job and stops everything that was started. `--keep` leaves the stack up after the job,
 * in the foreground, until Ctrl-C.
 */
async function quickstart(keep: boolean, signal: AbortSignal): Promise<void> {
  const folders = await prepareFolders();
  console.log('Headstart quickstart. Ctrl-C stops everything it starts.\n');
  console.log(
    `Drawing ${PICTURES_PER_CLASS} pictures each of ${PICTURE_CLASSES.join(', ')} in ${folders.pictures}`,
  );
  await drawPictures({ folder: folders.pictures, perClass: PICTURES_PER_CLASS, seed: SEED }, signal);

  const stack = await startStack(folders, { imagenetUrl: IMAGENET_URL, signal });
  try {
    console.log(`Redis from ${stack.redis.how}: ${hideSecrets(stack.redis.url)}`);
    console.log(`API and worker are up: ${stack.baseUrl}, logs in ${folders.logs}`);
    const { job, request } = await runJob(stack, folders, signal);
    console.log(`\n${await describeResult(job)}`);
    console.log(`\nThe same by hand, while the service runs:\n${curlLines(stack.baseUrl, request)}`);
    if (keep) await keepUp(stack, folders, signal);
    else console.log('\nTo leave the service up: npm run quickstart -- --keep');
  } finally {
    await stack.stop();
  }
}

async function keepUp(stack: Stack, folders: Folders, signal: AbortSignal): Promise<void> {
  console.log(`\nThe service stays up at ${stack.baseUrl}, for data below ${folders.root}.`);
  console.log('Post jobs from another terminal; Ctrl-C here stops it.');
  if (!signal.aborted) await Promise.race([once(signal, 'abort'), stack.failed]);
  console.log('\nStopping.');
}

/** Posts the job; once more with random weights where the worker could not have ImageNet's after all. */
async function runJob(
  stack: Stack,
  folders: Folders,
  signal: AbortSignal,
): Promise<{ job: Job; request: JobRequestInput }> {
  const choice = await chooseWeights(IMAGENET_URL, folders.cache, signal);
  const post = async (weights: 'imagenet' | 'random') => {
    const request: JobRequestInput = {
      datasetUri: pathToFileURL(`${folders.pictures}/`).href,
      scenario: 'small-different',
      model: { weights, ...MODEL },
      training: TRAINING,
    };
    return { request, job: await postAndWait(stack, request, signal) };
  };

  console.log(
    `\nBase weights: ${choice.weights === 'imagenet' ? 'ImageNet' : 'seeded random ones, not ImageNet'}, because ${choice.reason}.`,
  );
  const first = await post(choice.weights);
  if (first.job.error?.code !== 'weights_unavailable' || choice.weights === 'random') return succeeded(first);
  console.log(`\nThe ImageNet weights could not be had: ${first.job.error.detail}`);
  console.log('Base weights: seeded random ones instead. Posting the job again.');
  return succeeded(await post('random'));
}

async function postAndWait(stack: Stack, request: JobRequestInput, signal: AbortSignal): Promise<Job> {
  const client = new HeadstartClient(stack.baseUrl);
  const { id } = await client.createJob(request);
  console.log(`Posted job ${id}`);
  const view = createProgressView(process.stdout);
  try {
    const waiting = client.waitForJob(id, {
      onUpdate: (job) => view.update(job),
      intervalMs: POLL_INTERVAL_MS,
      signal,
    });
    return await Promise.race([waiting, stack.failed]);
  } catch (error) {
    // The Redis may be one that others use: nothing of ours stays in its queue.
    if (signal.aborted)
      await withTimeout(client.cancelJob(id), CANCEL_TIMEOUT_MS, 'no answer').catch(() => undefined);
    throw error;
  } finally {
    view.close();
  }
}

function succeeded<T extends { job: Job }>(result: T): T {
  const { status, error } = result.job;
  if (status !== 'succeeded') throw error ? AppError.fromJobError(error) : new Error(`The job is ${status}`);
  return result;
}

function hideSecrets(redisUrl: string): string {
  const url = new URL(redisUrl);
  url.password = '';
  return url.href;
}

const interrupted = new AbortController();
let interruptedAtMs = 0;
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => {
    // npm and the terminal may each deliver the same Ctrl-C. A second one, later, ends us at once, and our children with us.
    if (interruptedAtMs > 0 && Date.now() - interruptedAtMs > 1_000) process.exit(130);
    if (interruptedAtMs === 0) interruptedAtMs = Date.now();
    interrupted.abort(new Error('Interrupted'));
  });
}

try {
  const { values } = parseArgs({ options: { keep: { type: 'boolean', default: false } } });
  await quickstart(values.keep, interrupted.signal);
} catch (error) {
  if (interrupted.signal.aborted) {
    console.log('\nStopped: nothing is left running.');
    process.exitCode = 130;
  } else {
    console.error(`\nThe quickstart failed: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}
