import { z } from 'zod';
import type { DatasetLimits } from './limits.js';

export { DatasetLimits } from './limits.js';

const MB = 1_000_000;
const GB = 1_000 * MB;

const Positive = z.coerce.number().positive();
const Count = z.coerce.number().int().min(1);

/** The environment variables of data sets, to spread into a service's own schema. */
export const datasetConfigShape = {
  DATASET_MAX_DOWNLOAD_GB: Positive.default(5),
  DATASET_MAX_ENTRIES: Count.default(200_000),
  DATASET_MAX_EXPANDED_GB: Positive.default(20),
  DATASET_MAX_EXPANSION: Positive.default(100),
  DATASET_MAX_REFUSED_SHARE: z.coerce.number().min(0).max(1).default(0.2),
  PICTURE_MAX_MB: Positive.default(25),
  PICTURE_MAX_MEGAPIXELS: Positive.default(50),
  PICTURE_MAX_SIDE_PX: Count.default(10_240),
  PICTURE_MAX_DECODE_SECONDS: Positive.default(20),
  PICTURE_MAX_DECODE_MB: Positive.default(1000),
};

type DatasetEnvironment = z.infer<z.ZodObject<typeof datasetConfigShape>>;

/** The limits in a service's parsed environment. */
export function datasetLimits(env: DatasetEnvironment): DatasetLimits {
  return {
    downloadBytes: env.DATASET_MAX_DOWNLOAD_GB * GB,
    archiveEntries: env.DATASET_MAX_ENTRIES,
    expandedBytes: env.DATASET_MAX_EXPANDED_GB * GB,
    expansionRatio: env.DATASET_MAX_EXPANSION,
    refusedShare: env.DATASET_MAX_REFUSED_SHARE,
    pictureBytes: env.PICTURE_MAX_MB * MB,
    picturePixels: Math.round(env.PICTURE_MAX_MEGAPIXELS * 1e6),
    pictureSidePx: env.PICTURE_MAX_SIDE_PX,
    decodeSeconds: env.PICTURE_MAX_DECODE_SECONDS,
    decodeMemoryBytes: env.PICTURE_MAX_DECODE_MB * MB,
  };
}
