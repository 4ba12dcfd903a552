import { callParked, type JobRecord, readPayload, takeSlot, tenantOf } from '@headstart/queue';
import { DelayedError } from 'bullmq';
import type { Logger } from 'pino';

/** When a parked job looks again by itself, and how far apart those of a tenant do: one look costs a worker some milliseconds. */
const LOOK_AGAIN_MS = 60_000;
const APART_MS = 1000;

type Parts = Parameters<typeof callParked>[0];

/**
 * Puts a job back whose tenant has as many running as it may. No attempt is counted.
 * @throws DelayedError, BullMQ's word for a job that was put back.
 */
export async function leaveBeyondQuota(
  parts: Parts,
  job: JobRecord,
  token: string | undefined,
  logger: Logger,
): Promise<void> {
  // One that was canceled is only dropped.
  if (job.data.canceledAt !== null) return;
  const before = await takeSlot(parts, job);
  if (before === null) return;
  const tenant = tenantOf(job.data);
  const { maxRunning } = job.data;
  logger.info(
    { jobId: job.id, tenant, maxRunning },
    'the job waits: its tenant has as many running as it may',
  );
  await job.moveToDelayed(Date.now() + Math.max(LOOK_AGAIN_MS, before * APART_MS), token);
  // Whoever canceled it meanwhile took it for a running one: it is dropped at once, which tells its webhooks.
  const payload = await readPayload(parts.redis, job);
  if (payload !== null && payload.canceledAt !== null) await job.promote().catch(() => undefined);
  // A slot may have become free before this job could be called.
  await callNext(parts, tenant, logger, maxRunning);
  throw new DelayedError();
}

/** Calls the job of a tenant that is to take the slot of one that has ended. */
export async function callNext(
  parts: Parts,
  tenant: string,
  logger: Logger,
  maxRunning?: number,
): Promise<void> {
  await callParked(parts, tenant, maxRunning).catch((err: unknown) =>
    logger.warn({ err, tenant }, 'no waiting job of the tenant was called: they look again by themselves'),
  );
}
