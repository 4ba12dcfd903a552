import { AppError, type Job, type JobStatus, type ListQuery } from '@headstart/contracts';
import type { JobState } from 'bullmq';
import type { JobFacts } from './add-job.js';
import { findJob } from './job-queue.js';
import { idOf, indexKey, jobKey, memberOf } from './keys.js';
import type { QueueParts } from './parts.js';
import { tenantOf } from './payload.js';
import { toJob } from './to-job.js';

/** Members of the index that are looked at in one go. */
const CHUNK = 100;
/** And for one page at most: a filter that few jobs pass must not make a request read them all. */
const MAX_LOOKED_AT = 2000;

/** BullMQ's states that a job of a status can be in, as `toJob` maps them. */
const NOT_STARTED = ['waiting', 'prioritized', 'delayed', 'waiting-children'] as const;
const STATES: Record<JobStatus, readonly JobState[]> = {
  queued: NOT_STARTED,
  running: ['active'],
  succeeded: ['completed'],
  failed: ['failed'],
  canceled: [...NOT_STARTED, 'active', 'failed'],
};

export interface JobsPage {
  jobs: Job[];
  /** Where the next page begins; null behind the oldest job. */
  nextCursor: string | null;
}

/**
 * A page of a tenant's jobs, newest first.
 *
 * The order is that of the index, which a job keeps for as long as it is there, whatever state it is in: no job is missed or
 * repeated over pages that are read while jobs come, move on and go. A page may be shorter than its limit, or empty, and not be
 * the last: it ends too when enough jobs have been looked at.
 * @param cursor `nextCursor` of the page before, or null for the first.
 */
export async function listJobs(
  parts: Pick<QueueParts, 'redis' | 'prefix' | 'jobs'>,
  tenant: string,
  { limit, status, scenario, metadata }: Omit<ListQuery, 'cursor'>,
  cursor: string | null,
): Promise<JobsPage> {
  const jobs: Job[] = [];
  let lookedAt = 0;
  let last = cursor;
  for (;;) {
    const chunk = await readChunk(parts, tenant, last, status);
    const candidates = await filterChunk(parts, tenant, chunk, { status, scenario, metadata });
    while (candidates.length > 0) {
      const batch = candidates.splice(0, limit - jobs.length);
      const read = await Promise.all(batch.map((member) => readJob(parts, member)));
      jobs.push(
        ...read.filter((job): job is Job => job !== null && (!status || status.includes(job.status))),
      );
      last = batch.at(-1) ?? last;
      if (jobs.length === limit) return { jobs, nextCursor: last };
    }
    last = chunk.at(-1) ?? last;
    lookedAt += chunk.length;
    if (chunk.length < CHUNK) return { jobs, nextCursor: null };
    if (lookedAt >= MAX_LOOKED_AT) return { jobs, nextCursor: last };
  }
}

type Parts = Pick<QueueParts, 'redis' | 'prefix' | 'jobs'>;

/** The next members of the index behind `after`, newest first. */
async function readChunk(
  { redis, prefix, jobs }: Parts,
  tenant: string,
  after: string | null,
  status: ListQuery['status'],
): Promise<string[]> {
  if (status?.join() === 'running') {
    // As few as there are workers, and behind every queued job in the index.
    const active = await jobs.getActive();
    return active
      .filter(({ data }) => tenantOf(data) === tenant)
      .map(({ timestamp, id = '' }) => memberOf(timestamp, id))
      .filter((member) => after === null || member < after)
      .toSorted((a, b) => (a < b ? 1 : -1))
      .slice(0, CHUNK);
  }
  return redis.zrevrangebylex(
    indexKey(prefix, tenant),
    after === null ? '+' : `(${after}`,
    '-',
    'LIMIT',
    0,
    CHUNK,
  );
}

/** Those whose jobs may pass, by what can be known without their payloads; jobs that are gone are dropped from the index. */
async function filterChunk(
  { redis, prefix, jobs }: Parts,
  tenant: string,
  members: string[],
  { status, scenario, metadata }: Pick<ListQuery, 'status' | 'scenario' | 'metadata'>,
): Promise<string[]> {
  const states = status && new Set(status.flatMap((one) => STATES[one]));
  const passes = await Promise.all(
    members.map(async (member) => {
      const id = idOf(member);
      const stored = await redis.hget(jobKey(prefix, id), 'facts');
      if (stored === null) {
        await redis.zrem(indexKey(prefix, tenant), member);
        return false;
      }
      const facts = JSON.parse(stored) as JobFacts;
      if (scenario && !scenario.includes(facts.scenario)) return false;
      if (metadata?.some(([name, value]) => facts.metadata[name] !== value)) return false;
      const state = states && (await jobs.getJobState(id));
      return !state || (state !== 'unknown' && states.has(state));
    }),
  );
  return members.filter((_, index) => passes[index]);
}

async function readJob({ jobs }: Parts, member: string): Promise<Job | null> {
  const record = await findJob(jobs, idOf(member));
  if (!record) return null;
  return toJob(record).catch((error: unknown) => {
    // One job of a newer release must not keep a tenant from all others.
    if (error instanceof AppError && error.code === 'job_unreadable') return null;
    throw error;
  });
}
