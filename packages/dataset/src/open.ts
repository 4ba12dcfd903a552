import { AppError, isArchiveUri, type Dataset, type Picture, type Split } from '@headstart/contracts';
import { findLayout, orderClasses, type ClassFolder } from './layout.js';
import { groupBy } from './group-by.js';
import { byCodeUnit, ignoredPlace } from './paths.js';
import { buildReport, REFUSALS_SHOWN } from './report.js';
import { openArchive } from './sources/archive.js';
import { openFolder } from './sources/folder.js';
import {
  datasetNotFound,
  orNotFound,
  type OpenContext,
  type Refusal,
  type Source,
} from './sources/source.js';
import { splitClass } from './split.js';
import { refuseStrayGifs } from './stray-gifs.js';
import { openKnownPictures } from './verify/known.js';
import { verifyFiles, type VerifiedFile } from './verify/verify.js';

export interface OpenDatasetOptions extends OpenContext {
  /** Order of the classes, which must name every class folder once; null: sorted by code unit. */
  classes: string[] | null;
  /** Share of every class kept for validation where the data set has no val/. */
  validationSplit: number;
  seed: number;
  /** Folder that remembers the pictures that were decoded whole; null: every one is decoded. */
  knownDir: string | null;
}

/**
 * Opens a data set: brings it to this machine, decodes every picture that is not known once, and splits it where it is not split.
 *
 * A folder at file:// is read in place; everything else lies in `dataset` below `workDir` afterwards, so keep that until
 * the pictures have been used. Files at any depth below a class folder belong to the class, as in Keras. Hidden files,
 * `__MACOSX` and files outside the class folders are passed over. Files that are no usable picture do not fail the data
 * set: `report.refused` says why each was left out, and `checkRefusedShare` whether they are too many. Pictures are
 * sorted by path.
 * @throws AppError `dataset_not_found`, `dataset_invalid`, `archive_unsafe`, `invalid_request` (classes), `disk_full`,
 *   what the object store throws, or the signal's reason.
 */
export async function openDataset(options: OpenDatasetOptions): Promise<Dataset> {
  try {
    options.signal.throwIfAborted();
    return await openChecked(options);
  } catch (error) {
    // Streams that are aborted end with an error of their own; the reason is what the caller wants to know.
    options.signal.throwIfAborted();
    throw AppError.from(error);
  }
}

async function openChecked(options: OpenDatasetOptions): Promise<Dataset> {
  const { uri, limits, signal, onProgress, validationSplit, seed } = options;
  const source = await orNotFound(uri, async () =>
    isArchiveUri(uri) ? openArchive(options) : openFolder(options),
  );
  const layout = await orNotFound(uri, () => layoutOf(source, uri));
  const classes = orderClasses(layout.classes, options.classes);

  const folderOf = folderFinder(layout.folders);
  const brought = await source.bring((path) => folderOf(path) !== null);
  const located = brought.files
    .flatMap((file) => {
      const folder = folderOf(file.path);
      return folder ? [{ ...file, folder }] : [];
    })
    .sort(byPath);
  const known = options.knownDir === null ? null : await openKnownPictures(options.knownDir, limits);
  const { verified, refused } = await verifyFiles(located, { limits, known, signal, onProgress });
  refused.push(...brought.refused);

  const train: Picture[] = [];
  const val: Picture[] = [];
  const byClass = groupBy(verified, ({ folder }) => folder.class);
  const foldersByClass = groupBy(layout.folders, (folder) => folder.class);
  for (const [label, name] of classes.entries()) {
    const ofClass = refuseStrayGifs(byClass.get(name) ?? []);
    refused.push(...ofClass.refused);
    const files = ofClass.kept;
    for (const folder of foldersByClass.get(name) ?? [])
      if (!files.some((file) => file.folder === folder)) throw emptyClass(folder, refused);
    const sides = layout.hasVal ? sidesByFolder(files) : splitClass(name, files, { validationSplit, seed });
    train.push(...sides.train.map((file) => pictureOf(file, label)));
    val.push(...sides.val.map((file) => pictureOf(file, label)));
  }
  train.sort(byPath);
  val.sort(byPath);
  const split = layout.hasVal
    ? { source: 'folders' as const, validationSplit: null, seed: null }
    : { source: 'seeded' as const, validationSplit, seed };
  const { ignored } = brought;
  return { classes, train, val, report: buildReport({ uri, classes, train, val, refused, ignored, split }) };
}

/**
 * The classes of a folder data set in the order of their labels, without reading a picture.
 *
 * @param wanted the order asked for, which must name every class folder once; null: sorted by code unit.
 * @returns null for an archive, which would have to be downloaded.
 * @throws AppError `dataset_not_found`, `dataset_invalid` or `invalid_request` (classes), as openDataset does.
 */
export async function listClasses(
  stores: OpenContext['stores'],
  datasetUri: string,
  wanted: string[] | null,
): Promise<string[] | null> {
  if (isArchiveUri(datasetUri)) return null;
  return orNotFound(datasetUri, async () => {
    const store = stores.open(datasetUri);
    const { classes } = await layoutOf({ listFolders: (key) => store.listFolders(key) }, datasetUri);
    return orderClasses(classes, wanted);
  });
}

async function layoutOf(source: Pick<Source, 'listFolders'>, uri: string) {
  const isArchive = isArchiveUri(uri);
  if (!isArchive && (await source.listFolders('')).length === 0) throw datasetNotFound(uri);
  return findLayout((key) => source.listFolders(key));
}

function byPath(a: { path: string }, b: { path: string }): number {
  return byCodeUnit(a.path, b.path);
}

/** Finds the class folder that a path lies in; null for ignored files and those outside all class folders. */
function folderFinder(folders: ClassFolder[]): (path: string) => ClassFolder | null {
  const byPath = new Map(folders.map((folder) => [folder.path, folder]));
  const depth = folders[0]?.path.split('/').length ?? 0;
  return (path) => {
    const parts = path.split('/');
    if (parts.length <= depth || ignoredPlace(path) !== null) return null;
    return byPath.get(parts.slice(0, depth).join('/')) ?? null;
  };
}

function pictureOf({ path, file, sha256 }: VerifiedFile, label: number): Picture {
  return { path, file, label, sha256 };
}

function sidesByFolder<T extends { folder: ClassFolder }>(files: T[]): Record<Split, T[]> {
  const inSplit = (split: Split) => files.filter(({ folder }) => folder.split === split);
  return { train: inSplit('train'), val: inSplit('val') };
}

function emptyClass(folder: ClassFolder, refused: Refusal[]): AppError {
  const reasons = refused.filter(({ path }) => path.startsWith(`${folder.path}/`));
  const first = reasons[0];
  const why = first
    ? `${reasons.length} of its files were refused, "${first.path}" because ${first.reason}`
    : 'there are no files in it';
  return new AppError(
    'dataset_invalid',
    `Class "${folder.class}" has no usable picture in ${folder.path}/: ${why}. Add pictures to it, or remove the class.`,
    { details: { class: folder.class, folder: folder.path, refused: reasons.slice(0, REFUSALS_SHOWN) } },
  );
}
