const MB = 1_000_000;
const GB = 1_000 * MB;

/**
 * What a data set that somebody sent may cost. All are held against the bytes that really come, never against the
 * sizes that an archive or a store declares.
 */
export const LIMITS = {
  downloadBytes: 5 * GB,
  archiveEntries: 200_000,
  expandedBytes: 20 * GB,
  /** Expanded bytes over archive bytes. */
  expansionRatio: 100,
  /** Below this much expanded data the ratio is not looked at: a few small text files may well exceed it. */
  expansionFloorBytes: 10 * MB,
  pictureBytes: 25 * MB,
  pictureMegapixels: 50,
  pictureSidePx: 10_240,
} as const;

/** Network transfers at a time. */
export const DOWNLOAD_CONCURRENCY = 8;

/** Pictures decoded at a time; one may take 150 MB while it is, at 50 megapixels. */
export const DECODE_CONCURRENCY = 4;
