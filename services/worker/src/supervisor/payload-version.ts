import { PAYLOAD_VERSION } from '@headstart/queue';
import { DelayedError, type Job } from 'bullmq';
import type { Logger } from 'pino';

/** How long a payload of a newer version is left to other workers before any looks at it again. */
const LEFT_FOR_MS = 15_000;

/**
 * Leaves what a newer release has queued to workers of that release, which a rolling upgrade brings. No attempt is counted, and nothing
 * of the payload is read or changed.
 * @throws DelayedError, BullMQ's word for a job that was put back.
 */
export async function leaveNewerPayload(
  job: Job<{ version: number }>,
  token: string | undefined,
  logger: Logger,
): Promise<void> {
  const { id, queueName: queue, data } = job;
  if (data.version <= PAYLOAD_VERSION) return;
  logger.error(
    { queue, id, version: data.version, known: PAYLOAD_VERSION },
    'a newer release has queued this, and only its workers can read it: upgrade this worker',
  );
  await job.moveToDelayed(Date.now() + LEFT_FOR_MS, token);
  throw new DelayedError();
}
