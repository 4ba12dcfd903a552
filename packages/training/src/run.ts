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
  /** Aborted to give the job back: training stops at the next step, with a checkpoint of it. */
  interrupt: AbortSignal;
  /** Aborted to be content with what there is: the epoch ends at the next step, is evaluated, and is the last. */
  finish: AbortSignal;
  onPhase(phase: 'features' | 'training'): void;
  onProgress(progress: Progress): void;
  /** A stage's features are at hand. */
  onFeatures(use: FeatureUse): void;
  onEpoch(metrics: EpochMetrics): void;
  /** Training waits for this. The folder is the receiver's from now on, and its to remove. */
  onCheckpoint(checkpoint: SavedCheckpoint): Promise<void>;
}

/** A checkpoint that lies on this machine. */
export interface SavedCheckpoint {
  directory: string;
  /** Epochs finished, over all stages. */
  epoch: number;
  /** Steps of the next one that it has; 0 between two epochs. */
  step: number;
  /** True of the best epoch so far, right behind it. */
  isBest: boolean;
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
  /** SHA-256 over weights, optimizer and metrics (without timings) behind the last epoch. */
  stateDigest: string;
}

/** Training stopped because it was asked to give the job back; its last checkpoint is where another attempt goes on. */
export class TrainingInterrupted extends Error {
  override name = 'TrainingInterrupted';
}
