import { z } from 'zod';
import { Runtime } from './job.js';

export const ManifestFile = z.object({ path: z.string(), sizeBytes: z.int(), sha256: z.string() });
export type ManifestFile = z.infer<typeof ManifestFile>;

/** manifest.json: written last, so where it stands the job's files are whole. What was trained from what. */
export const Manifest = z.object({
  version: z.literal(1),
  jobId: z.string(),
  createdAt: z.iso.datetime(),
  attempt: z.int(),
  files: z.array(ManifestFile),
  exportedEpoch: z.int().meta({ description: 'The epoch whose weights the model has.' }),
  weightsDigest: z.string().meta({ description: 'SHA-256 of the base weights that training started from.' }),
  datasetDigest: z.string(),
  seed: z.int(),
  runtime: Runtime,
});
export type Manifest = z.infer<typeof Manifest>;
