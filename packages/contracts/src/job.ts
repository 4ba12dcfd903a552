import { z } from 'zod';
import { JobError } from './errors.js';
import { JobRequest } from './job-request.js';
import { EpochMetrics } from './metrics.js';
import { Plan } from './plan.js';

export const JOB_STATUSES = ['queued', 'running', 'succeeded', 'failed', 'canceled'] as const;
export const JobStatus = z.enum(JOB_STATUSES);
export type JobStatus = z.infer<typeof JobStatus>;
export const ENDED_STATUSES: readonly JobStatus[] = ['succeeded', 'failed', 'canceled'];

export const PHASES = ['dataset', 'plan', 'features', 'training', 'export', 'upload'] as const;
export const Phase = z.enum(PHASES);
export type Phase = z.infer<typeof Phase>;

/** How far the running phase is. */
export const Progress = z
  .object({
    phase: Phase,
    done: z.number(),
    total: z.number().nullable().meta({ description: 'Null while it is not known.' }),
    unit: z.enum(['bytes', 'files', 'pictures', 'steps']),
    remainingSeconds: z.number().nullable().meta({ description: 'Of this phase.' }),
    picturesPerSecond: z.number().nullable(),
    epoch: z.int().nullable().meta({ description: '1-based, over all stages; null outside training.' }),
    epochs: z.int().nullable(),
    step: z.int().nullable().meta({ description: '1-based within the epoch.' }),
    steps: z.int().nullable(),
  })
  .meta({ id: 'Progress' });
export type Progress = z.infer<typeof Progress>;

/** Where the job ran. */
export const Runtime = z
  .object({
    engine: z.string().meta({ examples: ['tensorflow'] }),
    device: z.string().meta({ examples: ['NVIDIA H200', 'cpu'] }),
    versions: z.record(z.string(), z.string()),
  })
  .meta({ id: 'Runtime' });
export type Runtime = z.infer<typeof Runtime>;

export const Artifacts = z
  .object({
    uri: z.string().meta({ description: "The job's own folder in the object store." }),
    files: z.record(z.string(), z.string()).meta({
      description: 'Main files by name: manifest, model, labels, metrics, report, each with its URI.',
    }),
  })
  .meta({ id: 'Artifacts' });
export type Artifacts = z.infer<typeof Artifacts>;

const Timestamp = z.iso.datetime();

/** A checkpoint in the object store. */
export const JobCheckpoint = z
  .object({
    epoch: z.int().meta({ description: 'Epochs finished, over all stages.' }),
    step: z.int().meta({ description: 'Steps of the next one that it has; 0 between two epochs.' }),
    uri: z.string().meta({ description: 'Its folder.' }),
    at: Timestamp.meta({ description: 'When it was last known to be whole.' }),
  })
  .meta({ id: 'JobCheckpoint' });
export type JobCheckpoint = z.infer<typeof JobCheckpoint>;

/** What `GET /jobs/:id` answers. */
export const Job = z
  .object({
    id: z.string(),
    status: JobStatus,
    phase: Phase.nullable(),
    progress: Progress.nullable(),
    metrics: z.array(EpochMetrics).meta({ description: 'One entry per finished epoch, oldest first.' }),
    request: JobRequest,
    plan: Plan,
    artifacts: Artifacts.nullable().meta({ description: 'Null until a file has been published.' }),
    error: JobError.nullable(),
    checkpoint: JobCheckpoint.nullable().meta({
      description:
        'The newest one, from which another attempt would go on. Epochs are reported at once, so `metrics` may be ahead of it.',
    }),
    checkpointError: JobError.nullable().meta({
      description:
        'Why the latest checkpoint is not in the object store, as long as it is not. Training goes on, and it is tried again.',
    }),
    warnings: z.array(z.string()).meta({
      description:
        'What went otherwise than it should, such as a checkpoint that was damaged; the latest 20.',
    }),
    attempts: z.int().meta({ description: 'How often a worker has started the job.' }),
    engine: z.string().nullable(),
    device: z.string().nullable(),
    versions: z.record(z.string(), z.string()).nullable().meta({
      description: "The engine's libraries, and the methods it found to work on its machine.",
    }),
    priority: z.int(),
    metadata: z.record(z.string(), z.string()),
    retryOf: z.string().nullable().meta({ description: 'Id of the job that this one runs again.' }),
    finishRequestedAt: Timestamp.nullable().meta({
      description: 'When training was first asked to end early, and to publish what it came to.',
    }),
    createdAt: Timestamp,
    startedAt: Timestamp.nullable(),
    finishedAt: Timestamp.nullable(),
  })
  .meta({ id: 'Job' });
export type Job = z.infer<typeof Job>;
