import { createHash } from 'node:crypto';
import type { DatasetReport, Picture, Split } from '@headstart/contracts';
import { byCodeUnit } from './paths.js';
import type { Refusal } from './sources/source.js';

interface ReportInput {
  uri: string;
  classes: string[];
  train: Picture[];
  val: Picture[];
  refused: Refusal[];
  split: DatasetReport['split'];
}

export function buildReport({ uri, classes, train, val, refused, split }: ReportInput): DatasetReport {
  const countOf = (pictures: Picture[], label: number) =>
    pictures.reduce((count, picture) => count + (picture.label === label ? 1 : 0), 0);
  return {
    uri,
    digest: digestOf(classes, { train, val }),
    split,
    classes: classes.map((name, label) => ({
      class: name,
      train: countOf(train, label),
      val: countOf(val, label),
    })),
    pictures: { train: train.length, val: val.length },
    refused: refused.toSorted((a, b) => byCodeUnit(a.path, b.path)),
    duplicates: duplicatesAmong([...train, ...val]),
  };
}

/** SHA-256 over one line per picture (split, class, digest as JSON), sorted: names and places of files do not count. */
function digestOf(classes: string[], pictures: Record<Split, Picture[]>): string {
  const lines = (['train', 'val'] as const).flatMap((split) =>
    pictures[split].map(({ label, sha256 }) => JSON.stringify([split, classes[label], sha256])),
  );
  return createHash('sha256').update(lines.sort(byCodeUnit).join('\n')).digest('hex');
}

function duplicatesAmong(pictures: Picture[]): DatasetReport['duplicates'] {
  const groups = new Map<string, Picture[]>();
  for (const picture of pictures)
    groups.set(picture.sha256, [...(groups.get(picture.sha256) ?? []), picture]);
  return [...groups]
    .filter(([, group]) => group.length > 1)
    .map(([sha256, group]) => ({ sha256, paths: group.map(({ path }) => path).sort(byCodeUnit) }))
    .sort((a, b) => byCodeUnit(a.paths.join(), b.paths.join()));
}
