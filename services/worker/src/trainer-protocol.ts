/**
 * What supervisor and trainer tell each other over the child process's IPC channel, as JSON.
 *
 *   supervisor                      trainer
 *   prepare ----------------------> loads its engine; at most once, and left out where there is no time for it
 *         <------------------------ ready
 *   start ------------------------> works
 *         <------------------------ runtime, plan, history, progress, features, epoch, checkpoint, checkpointError, warning,
 *                                   artifacts, log: any number, in their order
 *   finish -----------------------> ends training at the next step, and goes on behind it
 *   stop, interrupt --------------> aborts
 *         <------------------------ done | failed | interrupted | superseded: once, and the trainer ends
 *
 * A trainer that ends without one of the last four has crashed. One that loses its supervisor ends at once.
 */
import {
  Artifacts,
  AppError,
  canceledError,
  EpochMetrics,
  FeatureUse,
  JobCheckpoint,
  JobError,
  JobRequest,
  Plan,
  Progress,
  Runtime,
} from '@headstart/contracts';
import { DatasetLimits } from '@headstart/dataset/config';
import { ENGINE_NAMES } from '@headstart/engines';
import { z } from 'zod';

export const STOP_REASONS = ['canceled', 'timed_out'] as const;
export type StopReason = (typeof STOP_REASONS)[number];

/** All that an attempt needs; the trainer reads no environment and no queue. */
export const Assignment = z.object({
  jobId: z.string(),
  /** 1 for the first start of the job. */
  attempt: z.int(),
  request: JobRequest,
  plan: Plan,
  jobModelUri: z.string().nullable(),
  /** The job's own folder in the object store, with a slash at its end. */
  outputUri: z.string(),
  /** What of `s3://` and `file://` the job may use, its own folder included; null: all that `storage` allows. */
  uriPrefixes: z.array(z.string()).nullable(),
  /** Folder of this attempt alone; it exists and is empty. */
  workDir: z.string(),
  cacheDir: z.string(),
  engine: z.enum(ENGINE_NAMES),
  engineThreads: z.int().optional(),
  /** Workers that divide the machine's cores, unless `engineThreads` says how many threads there are. */
  engineSharers: z.int().min(1),
  imagenetWeightsUrl: z.string(),
  featureCache: z.object({ maxBytes: z.number(), uri: z.string().optional() }),
  storage: z.object({
    fileRoots: z.array(z.string()),
    allowedNetworks: z.array(z.string()),
    s3: z.object({ endpoint: z.string().optional(), region: z.string(), forcePathStyle: z.boolean() }),
  }),
  datasetLimits: DatasetLimits,
});
export type Assignment = z.infer<typeof Assignment>;

/** Folders of the checkpoints that a job leaves, in the `details` of the error that it ends with. */
export const CheckpointUris = z.object({
  lastCheckpointUri: z.string().nullable(),
  bestCheckpointUri: z.string().nullable(),
});
export type CheckpointUris = z.infer<typeof CheckpointUris>;

/** What the engine's start depends on. */
export const EngineChoice = Assignment.pick({
  engine: true,
  engineThreads: true,
  engineSharers: true,
  cacheDir: true,
});
export type EngineChoice = z.infer<typeof EngineChoice>;

export const ToTrainer = z.discriminatedUnion('type', [
  EngineChoice.extend({ type: z.literal('prepare') }),
  z.object({ type: z.literal('start'), assignment: Assignment }),
  z.object({ type: z.literal('stop'), reason: z.enum(STOP_REASONS) }),
  z.object({ type: z.literal('interrupt') }),
  z.object({ type: z.literal('finish') }),
]);
export type ToTrainer = z.infer<typeof ToTrainer>;

export const FromTrainer = z.discriminatedUnion('type', [
  /** What `prepare` asked for is loaded, or will not load. */
  z.object({ type: z.literal('ready') }),
  z.object({ type: z.literal('runtime'), runtime: Runtime }),
  /** The plan with the data set's classes. */
  z.object({ type: z.literal('plan'), plan: Plan }),
  /** The epochs that the checkpoint to go on from has; none where there is no checkpoint. */
  z.object({ type: z.literal('history'), metrics: z.array(EpochMetrics) }),
  z.object({ type: z.literal('progress'), progress: Progress }),
  z.object({ type: z.literal('features'), use: FeatureUse }),
  z.object({ type: z.literal('epoch'), metrics: EpochMetrics }),
  /** The newest one in the object store; it ends an error. */
  z.object({ type: z.literal('checkpoint'), checkpoint: JobCheckpoint.nullable(), uris: CheckpointUris }),
  z.object({ type: z.literal('checkpointError'), error: JobError }),
  /** For the job's owner to see; logged too. */
  z.object({ type: z.literal('warning'), message: z.string() }),
  z.object({ type: z.literal('artifacts'), artifacts: Artifacts }),
  z.object({
    type: z.literal('log'),
    level: z.enum(['info', 'warn']),
    message: z.string(),
    fields: z.record(z.string(), z.unknown()),
  }),
  z.object({ type: z.literal('done') }),
  z.object({ type: z.literal('failed'), error: JobError }),
  z.object({ type: z.literal('interrupted') }),
  /** The object store says that another attempt has the job. */
  z.object({ type: z.literal('superseded') }),
]);
export type FromTrainer = z.infer<typeof FromTrainer>;

/** The error of a job that was stopped for that reason. */
export function stopError(reason: StopReason, plan: Plan): AppError {
  if (reason === 'canceled') return canceledError();
  const limit = plan.training.maxDurationSeconds;
  return new AppError(
    'timed_out',
    `The job ran longer than its training.maxDurationSeconds, ${limit} s from its first start. Its checkpoints are kept. Allow it more time, or train fewer epochs.`,
    { details: { maxDurationSeconds: limit } },
  );
}
