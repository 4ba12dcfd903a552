export { listClasses, openDataset, type OpenDatasetOptions } from './open.js';
export { augmentPicture } from './pictures/augment.js';
export { decodePicture, DECODING } from './pictures/decode.js';
export { createPictureLoader, type PictureLoader } from './pictures/loader.js';
export { UnusablePicture } from './pictures/unusable.js';
export { DatasetLimits, PictureLimits } from './limits.js';
export { checkRefusedShare } from './report.js';

// The parts, for use alone.
export { unpackArchive } from './archives/unpack.js';
export { applyTransform, drawTransform, type Transform } from './pictures/augment.js';
export { decodePixels } from './pictures/decode.js';
export { resizeBilinear, type Pixels } from './pictures/resize.js';
export { splitClass } from './split.js';
