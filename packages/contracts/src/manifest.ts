import { z } from 'zod';
import { Runtime } from './job.js';
import { Stage } from './plan.js';

export const ManifestFile = z.object({ path: z.string(), sizeBytes: z.int(), sha256: z.string() });
export type ManifestFile = z.infer<typeof ManifestFile>;

/** What of a stage's features was cached. Where pictures are flipped, each orientation counts. */
export const FeatureUse = z.object({
  stage: Stage.shape.name,
  cachedLayers: z.int(),
  hits: z.int().meta({ description: 'Pictures whose features were there already.' }),
  misses: z.int().meta({ description: 'Pictures whose features were computed.' }),
});
export type FeatureUse = z.infer<typeof FeatureUse>;

/** manifest.json: written last, so where it stands the job's files are whole. What was trained from what. */
export const Manifest = z.object({
  version: z.literal(1),
  jobId: z.string(),
  createdAt: z.iso.datetime(),
  attempt: z.int().meta({ description: 'The one that published; all files are its own.' }),
  files: z.array(ManifestFile),
  exportedEpoch: z.int().meta({ description: 'The epoch whose weights the model has.' }),
  weightsDigest: z.string().meta({ description: 'SHA-256 of the base weights that training started from.' }),
  datasetDigest: z.string(),
  stateDigest: z.string().meta({
    description:
      'SHA-256 over weights, optimizer and metrics (without timings) behind the last epoch: the same for two runs that are the same bit for bit.',
  }),
  seed: z.int(),
  runtime: Runtime,
  features: z.array(FeatureUse).meta({
    description: 'By stage that has cached layers, as the attempt that published found them.',
  }),
});
export type Manifest = z.infer<typeof Manifest>;
