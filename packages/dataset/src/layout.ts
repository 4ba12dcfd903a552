import { AppError, MAX_CLASSES, type Split } from '@headstart/contracts';
import { byCodeUnit, isIgnoredName, joinKey } from './paths.js';

/** A folder that holds one class's pictures, at any depth below it. */
export interface ClassFolder {
  path: string;
  class: string;
  /** Null where the pictures of the folder are still to be split. */
  split: Split | null;
}

export interface Layout {
  /** Sorted by code unit. */
  classes: string[];
  folders: ClassFolder[];
  hasVal: boolean;
}

type ListFolders = (key: string) => Promise<string[]>;

/**
 * Finds the class folders: at the root, or below `train/` and `val/`; a single folder around either is looked into.
 *
 * `train/` counts as a split when there are folders in it. Next to it may stand `val/` and `test/`, which is not used;
 * anything else is refused, as a misspelt `validation/` would otherwise be lost in silence.
 * @throws AppError('dataset_invalid')
 */
export async function findLayout(listFolders: ListFolders): Promise<Layout> {
  // A bucket's folder has no name where two slashes follow each other in a key: looked into, it would be the one around it again.
  const foldersOf = async (key: string) =>
    (await listFolders(key)).filter((name) => name !== '' && !isIgnoredName(name));
  let root = '';
  let names = await foldersOf(root);
  for (let only = soleFolder(names); only !== null; only = soleFolder(names)) {
    const inside = joinKey(root, only);
    const namesInside = await foldersOf(inside);
    if (namesInside.length === 0) break;
    root = inside;
    names = namesInside;
  }
  const trainClasses = names.includes('train') ? await foldersOf(joinKey(root, 'train')) : [];
  if (trainClasses.length === 0) return checked(classFolders(root, names, null), names, false);

  const strays = names.filter((name) => !['train', 'val', 'test'].includes(name));
  if (strays.length > 0)
    throw invalid(
      `Beside train/ there is ${quoted(strays)}. Only val/ (and test/, which is not used) may stand there: rename the validation folder to val/, or move the rest away.`,
      { unexpectedFolders: strays },
    );
  const trainRoot = joinKey(root, 'train');
  if (!names.includes('val'))
    return checked(classFolders(trainRoot, trainClasses, null), trainClasses, false);
  const valRoot = joinKey(root, 'val');
  const valClasses = await foldersOf(valRoot);
  const onlyInOne = [
    ...missingFrom(trainClasses, valClasses).map((name) => joinKey('val', name)),
    ...missingFrom(valClasses, trainClasses).map((name) => joinKey('train', name)),
  ];
  if (onlyInOne.length > 0)
    throw invalid(
      `train/ and val/ must hold the same classes, and ${quoted(onlyInOne)} has no counterpart. Add the missing folder with pictures, or remove val/ to have the pictures split by the service.`,
      { withoutCounterpart: onlyInOne },
    );
  return checked(
    [...classFolders(trainRoot, trainClasses, 'train'), ...classFolders(valRoot, valClasses, 'val')],
    trainClasses,
    true,
  );
}

/** The one folder that wraps the rest, if there is one; `train/` alone is a data set without `val/`. */
function soleFolder(names: string[]): string | null {
  const [first, ...others] = names;
  return first === undefined || first === 'train' || others.length > 0 ? null : first;
}

/** Those of `names` that are not in `others`. */
function missingFrom(others: string[], names: string[]): string[] {
  const known = new Set(others);
  return names.filter((name) => !known.has(name));
}

function classFolders(root: string, names: string[], split: Split | null): ClassFolder[] {
  return names.map((name) => ({ path: joinKey(root, name), class: name, split }));
}

function checked(folders: ClassFolder[], names: string[], hasVal: boolean): Layout {
  if (names.length < 2)
    throw invalid(
      `A data set needs at least 2 classes, and ${names.length === 0 ? 'no class folder was found' : `only ${quoted(names)} was found`}. Put the pictures into one folder per class, directly in the data set or below train/ and val/.`,
      { classes: names },
    );
  if (names.length > MAX_CLASSES)
    throw invalid(
      `A data set may have at most ${MAX_CLASSES} classes, and ${names.length} class folders were found. Check that the address is that of the data set.`,
      { classes: names.length, limit: MAX_CLASSES },
    );
  return { classes: names.toSorted(byCodeUnit), folders, hasVal };
}

/**
 * The classes in the order of their labels: the one asked for, or sorted.
 *
 * @throws AppError('invalid_request') unless `wanted` names exactly the folders.
 */
export function orderClasses(found: string[], wanted: string[] | null): string[] {
  if (!wanted) return found;
  const missing = found.filter((name) => !wanted.includes(name));
  const unknown = wanted.filter((name) => !found.includes(name));
  const repeated = wanted.filter((name, i) => wanted.indexOf(name) !== i);
  const problems = [
    ...(missing.length > 0 ? [`${quoted(missing)} missing`] : []),
    ...(unknown.length > 0 ? [`${quoted(unknown)} unknown`] : []),
    ...(repeated.length > 0 ? [`${quoted(repeated)} named twice`] : []),
  ];
  if (problems.length === 0) return wanted;
  const message = `model.classes must name each class folder once: ${problems.join('; ')}. The data set has ${quoted(found)}.`;
  throw new AppError('invalid_request', message, {
    errors: [{ field: 'model.classes', message, received: wanted, allowed: found }],
  });
}

function quoted(names: string[]): string {
  const shown = names.slice(0, 20).map((name) => `"${name}"`);
  return shown.join(', ') + (names.length > shown.length ? ` and ${names.length - shown.length} more` : '');
}

function invalid(message: string, details: Record<string, unknown>): AppError {
  return new AppError('dataset_invalid', message, { details });
}
