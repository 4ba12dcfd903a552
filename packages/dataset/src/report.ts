import { createHash } from 'node:crypto';
import { AppError, type DatasetReport, type Picture, printableUri, type Split } from '@headstart/contracts';
import { groupBy } from './group-by.js';
import { type DatasetLimits, SMALL_CLASS_PICTURES } from './limits.js';
import { byCodeUnit } from './paths.js';
import type { Refusal } from './sources/source.js';

/** Of the refused files, how many an error lists; the report has them all. */
export const REFUSALS_SHOWN = 20;

interface ReportInput {
  uri: string;
  classes: string[];
  train: Picture[];
  val: Picture[];
  refused: Refusal[];
  ignored: ReadonlyMap<string, number>;
  split: DatasetReport['split'];
}

export function buildReport({
  uri,
  classes,
  train,
  val,
  refused,
  ignored,
  split,
}: ReportInput): DatasetReport {
  const counts = classes.map((name) => ({ class: name, train: 0, val: 0 }));
  for (const { label } of train) counts[label]!.train++;
  for (const { label } of val) counts[label]!.val++;
  const used = train.length + val.length;
  return {
    uri: printableUri(uri),
    digest: digestOf(classes, { train, val }),
    split,
    classes: counts,
    smallClasses: counts
      .map((count) => ({ class: count.class, pictures: count.train + count.val }))
      .filter(({ pictures }) => pictures < SMALL_CLASS_PICTURES),
    pictures: { train: train.length, val: val.length },
    refused: refused.toSorted((a, b) => byCodeUnit(a.path, b.path)),
    refusedShare: refused.length === 0 ? 0 : refused.length / (refused.length + used),
    ignored: [...ignored]
      .map(([path, files]) => ({ path, files }))
      .sort((a, b) => byCodeUnit(a.path, b.path)),
    duplicates: duplicatesAmong([...train, ...val]),
    inTrainAndVal: duplicatesAcross(train, val),
  };
}

/** @throws AppError('dataset_invalid') where more of the files were refused than may be. */
export function checkRefusedShare(
  { refused, refusedShare, pictures }: DatasetReport,
  limits: DatasetLimits,
): void {
  if (refusedShare <= limits.refusedShare) return;
  const files = refused.length + pictures.train + pictures.val;
  const first = refused[0]!;
  throw new AppError(
    'dataset_invalid',
    `${refused.length} of the data set's ${files} files were refused, "${first.path}" because ${first.reason}. At most ${Number((limits.refusedShare * 100).toPrecision(6))} % may be. dataset-report.json names them all: mend or remove them, and post the job again.`,
    { details: { refusedShare, limit: limits.refusedShare, refused: refused.slice(0, REFUSALS_SHOWN) } },
  );
}

/** SHA-256 over one line per picture (split, class, digest as JSON), sorted: names and places of files do not count. */
function digestOf(classes: string[], pictures: Record<Split, Picture[]>): string {
  const lines = (['train', 'val'] as const).flatMap((split) =>
    pictures[split].map(({ label, sha256 }) => JSON.stringify([split, classes[label], sha256])),
  );
  return createHash('sha256').update(lines.sort(byCodeUnit).join('\n')).digest('hex');
}

/** Files with the same bytes on both sides of the split, which make the validation look better than it is. */
function duplicatesAcross(train: Picture[], val: Picture[]): DatasetReport['inTrainAndVal'] {
  const trainGroups = groupsOf(train);
  return [...groupsOf(val)]
    .flatMap(([sha256, inVal]) => {
      const inTrain = trainGroups.get(sha256);
      return inTrain ? [{ sha256, train: inTrain, val: inVal }] : [];
    })
    .sort((a, b) => byCodeUnit(a.val.join(), b.val.join()));
}

function duplicatesAmong(pictures: Picture[]): DatasetReport['duplicates'] {
  return [...groupsOf(pictures)]
    .filter(([, paths]) => paths.length > 1)
    .map(([sha256, paths]) => ({ sha256, paths }))
    .sort((a, b) => byCodeUnit(a.paths.join(), b.paths.join()));
}

/** The paths of each digest, sorted. */
function groupsOf(pictures: Picture[]): Map<string, string[]> {
  const groups = groupBy(pictures, ({ sha256 }) => sha256);
  return new Map(
    [...groups].map(([sha256, group]) => [sha256, group.map(({ path }) => path).sort(byCodeUnit)]),
  );
}
