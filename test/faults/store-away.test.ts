import type { IncomingMessage } from 'node:http';
import type { Job } from '@headstart/contracts';
import { expect, inject, it, onTestFinished } from 'vitest';
import { hasEnded, startDeployment } from '../support/deployment.js';
import { expectEndedOnce } from '../support/endings.js';
import { answerWith, startReceiver } from '../support/receiver.js';
import { type Fault, startFaultyEndpoint } from '../support/s3-faults.js';
import { useS3 } from '../support/s3-suite.js';
import { makeStoreJob, STORE_PHASES, type StoreJob, type StorePhase } from '../support/store-job.js';

const { running, openOwn, target } = useS3();

interface Outage extends Pick<Fault, 'status' | 'code'> {
  name: string;
  /** How many of a job's requests it meets before the store is well again; without it, the job's end comes first. */
  requests?: number;
  /** Reading goes on. */
  isOfWrites?: true;
  /** By phase, what becomes of the job. */
  ends(phase: StorePhase): Partial<Job>;
}

/** Between two attempts the job is queued; a checkpoint and the shared features are tried again, or done without, within one. */
const triedAgain = (phase: StorePhase): Partial<Job> => ({
  status: 'succeeded',
  attempts: phase === 'training' || phase === 'features' ? 1 : 2,
});
/** The SDK tries three times before a call has failed. */
const FAILS_A_CALL = 4;

const OUTAGES: Outage[] = [
  { name: '500', status: 500, code: 'InternalError', requests: FAILS_A_CALL, ends: triedAgain },
  { name: '503', status: 503, code: 'SlowDown', requests: FAILS_A_CALL, ends: triedAgain },
  { name: 'reset connections', status: 'reset', requests: FAILS_A_CALL, ends: triedAgain },
  { name: '1 kB/s', status: 'slow', requests: 6, ends: () => ({ status: 'succeeded', attempts: 1 }) },
  {
    name: 'credentials that are wrong',
    status: 403,
    code: 'InvalidAccessKeyId',
    ends: () => ({
      status: 'failed',
      attempts: 1,
      error: expect.objectContaining({ code: 'storage_forbidden' }) as Job['error'],
    }),
  },
  {
    name: 'a disk that is full',
    status: 507,
    code: 'XMinioStorageFull',
    // The SDK does not try these again.
    requests: 1,
    isOfWrites: true,
    ends: triedAgain,
  },
];

/** A job that the store lets down from its phase on. */
interface Cell extends StoreJob {
  phase: StorePhase;
  meets(request: IncomingMessage): boolean;
}

function letDown(phase: StorePhase, job: StoreJob, { requests = Infinity, isOfWrites }: Outage): Cell {
  let isDown = false;
  let met = 0;
  return {
    ...job,
    phase,
    meets(request) {
      isDown ||= job.isOf(phase, request);
      return isDown && (!isOfWrites || request.method === 'PUT') && ++met <= requests;
    },
  };
}

/** The shared features are of whichever job the worker is at. */
function meetingAny(cells: readonly Cell[]): (request: IncomingMessage) => boolean {
  let current: Cell | undefined;
  return (request) => {
    current = cells.find(({ isAbout }) => isAbout(request)) ?? current;
    return current?.meets(request) ?? false;
  };
}

it.each(OUTAGES)('$name from each phase on', async (outage) => {
  const { endpoint, bucket } = running();
  const redisUrl = inject('redisUrl');
  const { store } = openOwn();
  const deployment = await startDeployment(redisUrl, { S3_ENDPOINT: endpoint });
  onTestFinished(() => deployment.end());
  const faulty = await startFaultyEndpoint(target());
  onTestFinished(() => faulty.stop());
  const receiver = await startReceiver(answerWith(204));
  onTestFinished(() => receiver.close());

  const cells: Cell[] = [];
  for (const phase of STORE_PHASES) cells.push(letDown(phase, await makeStoreJob(store, phase), outage));
  faulty.answerWith({ ...outage, to: meetingAny(cells) });
  const posted: Job[] = [];
  for (const { request } of cells)
    posted.push(await deployment.post({ ...request, webhook: { url: receiver.url } }));
  await deployment.startWorker({
    S3_ENDPOINT: faulty.endpoint,
    FEATURE_CACHE_URI: `s3://${bucket}/feature-cache/`,
  });

  const ended: Job[] = [];
  for (const { id } of posted) ended.push(await deployment.waitFor(id, hasEnded));
  for (const [i, { phase }] of cells.entries()) {
    const { status, attempts, error } = ended[i]!;
    console.log(
      `${outage.name}, ${phase}: ${status} after ${attempts} attempts${error ? `, ${error.detail}` : ''}`,
    );
  }
  for (const [i, { phase }] of cells.entries())
    expect.soft(ended[i], phase).toMatchObject(outage.ends(phase));
  await expectEndedOnce(ended, { redisUrl, prefix: deployment.queuePrefix, receiver });
});
