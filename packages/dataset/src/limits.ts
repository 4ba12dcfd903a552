import { z } from 'zod';

/** What one picture may cost. */
export const PictureLimits = z.object({
  pictureBytes: z.number(),
  picturePixels: z.number(),
  pictureSidePx: z.number(),
});
export type PictureLimits = z.infer<typeof PictureLimits>;

/**
 * What a data set that somebody sent may cost. All are held against the bytes that really come, never against the
 * sizes that an archive or a store declares.
 */
export const DatasetLimits = PictureLimits.extend({
  downloadBytes: z.number(),
  archiveEntries: z.number(),
  expandedBytes: z.number(),
  /** Expanded bytes over archive bytes. */
  expansionRatio: z.number(),
  /** Processor time for one picture: unlike the time of day it is the same on a busy machine. */
  decodeSeconds: z.number(),
  /** Resident memory of a process that decodes, one picture at a time. */
  decodeMemoryBytes: z.number(),
  /** Refused files over all files of the classes, 0 to 1: above it the data set is not trained on. */
  refusedShare: z.number(),
});
export type DatasetLimits = z.infer<typeof DatasetLimits>;

/** Below this much expanded data the ratio is not looked at: a few small text files may well exceed it. */
export const EXPANSION_FLOOR_BYTES = 10_000_000;

/** Of a name in an archive, in UTF-16 units; file systems stop at 255 a part. */
export const NAME_LENGTH = 1024;

/** Pictures that had to be stopped, each at the full cost of its limits, before the data set is given up. */
export const STOPPED_PICTURES = 20;

/** The report names classes with fewer usable pictures. */
export const SMALL_CLASS_PICTURES = 5;

/** Network transfers at a time. */
export const DOWNLOAD_CONCURRENCY = 8;

/** Pictures decoded at a time, at most; never more than the machine has cores. */
export const DECODE_CONCURRENCY = 4;
