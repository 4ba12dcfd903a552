export type { LoadPicture } from './batches.js';
export { checkpointName, CHECKPOINT_INDEX } from './checkpoint.js';
export { exportRun } from './export.js';
export { type Network, buildNetwork } from './network.js';
export { BGR_MEANS, preprocess } from './preprocess.js';
export { type TrainedRun, TrainingInterrupted, type TrainOptions } from './run.js';
export { train } from './train.js';
export { type BaseWeights, neededConvolutions } from './weights/base-weights.js';
export { loadBaseWeights, type WeightsAccess } from './weights/load.js';
