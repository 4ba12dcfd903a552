import { AppError } from '@headstart/contracts';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { byCodeUnit } from './paths.js';
import { randomFrom } from './random.js';

/**
 * Divides one class's pictures, so that a whole data set divided class by class is stratified.
 *
 * The paths are sorted before they are drawn from: the result depends on the set of paths, the seed and the share
 * alone. Both sides get at least one.
 * @throws AppError('dataset_invalid') for fewer than two.
 */
export function splitClass<T extends { path: string }>(
  className: string,
  pictures: readonly T[],
  { validationSplit, seed }: { validationSplit: number; seed: number },
): { train: T[]; val: T[] } {
  if (pictures.length < 2)
    throw new AppError(
      'dataset_invalid',
      `Class "${className}" has ${pictures.length} usable picture, and a split into training and validation needs at least 2. Add pictures to it, or provide train/ and val/ folders.`,
      { details: { class: className, usable: pictures.length } },
    );
  const drawn = pictures.toSorted((a, b) => byCodeUnit(a.path, b.path));
  const random = randomFrom('split', seed, className);
  const wanted = Math.round(pictures.length * validationSplit);
  const valCount = Math.min(Math.max(wanted, 1), pictures.length - 1);
  for (let i = 0; i < valCount; i++) {
    const j = uniformInt(random, i, drawn.length - 1);
    [drawn[i], drawn[j]] = [drawn[j] as T, drawn[i] as T];
  }
  const sorted = (part: T[]) => part.toSorted((a, b) => byCodeUnit(a.path, b.path));
  return { train: sorted(drawn.slice(valCount)), val: sorted(drawn.slice(0, valCount)) };
}
