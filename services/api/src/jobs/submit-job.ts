import type { Job, JobRequest } from '@headstart/contracts';
import { DEFAULT_PRIORITY, newJobId } from '@headstart/queue';
import type { JobsPort } from '../plugins/queue.js';
import type { PreparedJob } from './prepare-job.js';

/** Queues a prepared job, in a folder of its own. */
export function submitJob(
  request: JobRequest,
  { plan, jobModelUri, outputBaseUri }: PreparedJob,
  { jobs, requestId }: { jobs: JobsPort; requestId: string },
): Promise<Job> {
  const id = newJobId();
  return jobs.add(
    id,
    {
      version: 1,
      request,
      plan,
      jobModelUri,
      requestId,
      outputUri: `${outputBaseUri}${id}/`,
      metrics: [],
      runtime: null,
      artifacts: null,
      canceledAt: null,
    },
    request.priority ?? DEFAULT_PRIORITY,
  );
}
