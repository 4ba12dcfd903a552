import { isAbsolute, resolve } from 'node:path';
import { z } from 'zod';
import { isNetwork } from './networks.js';

const FileRoots = z
  .string()
  .default('')
  .transform(commaSeparated)
  .refine((roots) => roots.every((root) => isAbsolute(root)), {
    error: 'must be absolute folders, separated by commas',
  })
  .transform((roots) => roots.map((root) => resolve(root)));

/** Of an environment variable. */
export const NetworkList = z
  .string()
  .default('')
  .transform(commaSeparated)
  .refine((networks) => networks.every(isNetwork), {
    error: 'must be networks in CIDR notation, such as 10.0.0.0/8, separated by commas',
  });

/** The environment variables of storage, to spread into a service's own schema. */
export const storageConfigShape = {
  FILE_ROOTS: FileRoots,
  ALLOWED_NETWORKS: NetworkList,
  S3_ENDPOINT: z
    .url({ protocol: /^https?$/, error: 'must be an http:// or https:// URL; unset means AWS' })
    .optional(),
  S3_PUBLIC_ENDPOINT: z
    .url({ protocol: /^https?$/, error: 'must be an http:// or https:// URL; unset means S3_ENDPOINT' })
    .optional(),
  S3_REGION: z.string().default('us-east-1'),
  S3_FORCE_PATH_STYLE: z.stringbool({ error: 'must be true or false' }).optional(),
};

type StorageEnvironment = z.infer<z.ZodObject<typeof storageConfigShape>>;

export interface StorageConfig {
  /** Absolute folders that file:// URIs may be below; none means that file:// is refused. */
  fileRoots: string[];
  /** CIDRs besides the public addresses that URLs of users may lead to. */
  allowedNetworks: string[];
  s3: {
    /** URL of the S3 server; undefined means AWS. */
    endpoint?: string;
    /** URL of the same server for clients, in links; undefined means `endpoint`. */
    publicEndpoint?: string;
    region: string;
    /** `http://server/bucket/key` instead of `http://bucket.server/key`. */
    forcePathStyle: boolean;
  };
}

/** Storage's part of a service's parsed environment. Path style is the default where an endpoint is set. */
export function storageConfig(env: StorageEnvironment): StorageConfig {
  return {
    fileRoots: env.FILE_ROOTS,
    allowedNetworks: env.ALLOWED_NETWORKS,
    s3: {
      ...(env.S3_ENDPOINT !== undefined && { endpoint: env.S3_ENDPOINT }),
      ...(env.S3_PUBLIC_ENDPOINT !== undefined && { publicEndpoint: env.S3_PUBLIC_ENDPOINT }),
      region: env.S3_REGION,
      forcePathStyle: env.S3_FORCE_PATH_STYLE ?? env.S3_ENDPOINT !== undefined,
    },
  };
}

function commaSeparated(list: string): string[] {
  return list
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}
