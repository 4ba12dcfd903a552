import { hostname } from 'node:os';
import type { JobPayload } from '@headstart/queue';
import type { Queue } from 'bullmq';

/** What Redis knows this machine's, or container's, workers by. */
export const WORKER_NAME = hostname();

/** Workers of this queue on this machine, as Redis sees their connections. */
export async function countWorkersHere(jobs: Queue<JobPayload>): Promise<number> {
  const workers = await jobs.getWorkers();
  return workers.filter(({ rawname }) => rawname?.endsWith(`:w:${WORKER_NAME}`)).length;
}
