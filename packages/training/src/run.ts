import type { CompilePrefix, EpochMetrics, FeatureUse, Picture, Plan, Progress } from '@headstart/contracts';
import type { DrawFlip, LoadPicture } from './batches.js';
import type { FeatureCacheOptions } from './features/cache.js';
import type { Network } from './network.js';
import type { BaseWeights } from './weights/base-weights.js';

/** What a run is given: data and weights at hand, and functions for everything outside. */
export interface TrainOptions {
  /** A plan whose classes are known. */
  plan: Plan;
  weights: BaseWeights;
  dataset: { train: readonly Picture[]; val: readonly Picture[] };
  loadPicture: LoadPicture;
  /** Used where pictures are flipped and otherwise left as they are: both orientations are cached then. */
  drawFlip: DrawFlip;
  /** Where outputs of frozen layers are kept. */
  featureCache: FeatureCacheOptions;
  /** The engine's way to make one program of the frozen layers; without it they run one by one. */
  compilePrefix?: CompilePrefix | undefined;
  /** Folder of this attempt's own files. */
  workDir: string;
  /** Folder of a checkpoint to go on from, or null to start. */
  resumeFrom: string | null;
  /** Aborted with an AppError as its reason: training stops at the next step and rejects with it. */
  signal: AbortSignal;
  /** Aborted to give the job back: training stops behind the running epoch's checkpoint, at once outside an epoch. */
  interrupt: AbortSignal;
  onPhase(phase: 'features' | 'training'): void;
  onProgress(progress: Progress): void;
  /** A stage's features are at hand. */
  onFeatures(use: FeatureUse): void;
  /** The epoch's checkpoint is whole; its folder is removed when this has resolved. */
  onEpoch(epoch: { metrics: EpochMetrics; checkpointDir: string; isBest: boolean }): Promise<void>;
}

export interface Evaluation {
  loss: number;
  accuracy: number;
  /** [classes] per validation picture, in the order of the data set. */
  probabilities: Float32Array[];
}

/** A finished run. The network holds the weights of the exported epoch. */
export interface TrainedRun {
  plan: Plan;
  network: Network;
  val: readonly Picture[];
  metrics: EpochMetrics[];
  exportedEpoch: number;
  evaluation: Evaluation;
}

/** Training stopped because it was asked to give the job back; its last checkpoint is where another attempt goes on. */
export class TrainingInterrupted extends Error {
  override name = 'TrainingInterrupted';
}
