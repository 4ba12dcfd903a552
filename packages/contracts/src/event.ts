import { z } from 'zod';
import { JobError } from './errors.js';
import { JobStatus, Phase, Progress } from './job.js';
import { EpochMetrics } from './metrics.js';

export const JobLog = z
  .object({
    level: z.enum(['info', 'warn', 'error']),
    message: z.string(),
    fields: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'JobLog' });
export type JobLog = z.infer<typeof JobLog>;

/** What is kept of a job's way, and can be replayed. */
const StoredEvents = [
  z.object({
    type: z.literal('status'),
    status: JobStatus,
    attempt: z.int().meta({ description: 'Starts of the job so far.' }),
    error: JobError.nullable().meta({ description: 'Why it failed, or why it is queued again.' }),
  }),
  z.object({ type: z.literal('phase'), phase: Phase }),
  z.object({ type: z.literal('epoch'), metrics: EpochMetrics }),
  z.object({ type: z.literal('log'), ...JobLog.shape }),
] as const;

export const StoredJobEvent = z.discriminatedUnion('type', StoredEvents);
export type StoredJobEvent = z.infer<typeof StoredJobEvent>;

const ProgressEvent = z.object({ type: z.literal('progress'), progress: Progress });

export const JobEvent = z.discriminatedUnion('type', [...StoredEvents, ProgressEvent]);
export type JobEvent = z.infer<typeof JobEvent>;

const at = z.iso.datetime().meta({ description: 'When it happened.' });
const [StatusEvent, PhaseEvent, EpochEvent, LogEvent] = StoredEvents;

/** The data of an event of `GET /jobs/:id/events`; `type` is the event's name too. */
export const SentJobEvent = z
  .discriminatedUnion('type', [
    StatusEvent.extend({ at }),
    PhaseEvent.extend({ at }),
    EpochEvent.extend({ at }),
    LogEvent.extend({ at }),
    ProgressEvent.extend({ at }),
  ])
  .meta({ id: 'JobEvent' });
export type SentJobEvent = z.infer<typeof SentJobEvent>;

/** A line of `GET /jobs/:id/logs`. */
export const JobLogLine = JobLog.extend({ at: z.iso.datetime() }).meta({ id: 'JobLogLine' });
export type JobLogLine = z.infer<typeof JobLogLine>;
