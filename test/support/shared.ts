import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

/** Real pictures and weights that lie beside a development checkout; never part of the project. */
const SHARED = resolve(import.meta.dirname, '../../../shared');

export const BLOCK_1_TO_3_WEIGHTS = resolve(SHARED, 'weights/vgg19_imagenet_block1-3.h5');
export const GOLDEN_FEATURES = resolve(SHARED, 'reference/vgg19_golden_features.h5');
export const ANTS_BEES = resolve(SHARED, 'data/ants_bees');
export const SHARED_FOLDER = SHARED;

/** True where the material is missing; prints why the tests that need it are skipped. */
export function sharedIsMissing(): boolean {
  const missing = [BLOCK_1_TO_3_WEIGHTS, GOLDEN_FEATURES, ANTS_BEES].filter((path) => !existsSync(path));
  if (missing.length > 0)
    console.log(`skipped: needs the development material that is not here (${missing.join(', ')})`);
  return missing.length > 0;
}
