import { z } from 'zod';

export const SPLITS = ['train', 'val'] as const;
export type Split = (typeof SPLITS)[number];

/** A verified picture: it has been decoded once, whole. */
export interface Picture {
  /** Path below the data set's root, with "/" between the parts. */
  path: string;
  /** Absolute path of the file on this machine, without links. */
  file: string;
  /** Index into the data set's classes. */
  label: number;
  sha256: string;
}

const ClassCount = z.object({ class: z.string(), train: z.int(), val: z.int() });

/** dataset-report.json: what was found, what is used, and why the rest is not. */
export const DatasetReport = z.object({
  uri: z.string(),
  digest: z
    .string()
    .meta({ description: 'SHA-256 over the split, class and digest of every picture that is used.' }),
  split: z.object({
    source: z.enum(['folders', 'seeded']).meta({
      description: '`folders`: train/ and val/ were there; `seeded`: drawn by the seed, stratified.',
    }),
    validationSplit: z.number().nullable(),
    seed: z.int().nullable(),
  }),
  classes: z.array(ClassCount),
  smallClasses: z.array(z.object({ class: z.string(), pictures: z.int() })).meta({
    description: 'Classes with fewer than five usable pictures. They are trained on, and reported.',
  }),
  pictures: z.object({ train: z.int(), val: z.int() }),
  refused: z.array(z.object({ path: z.string(), reason: z.string() })),
  refusedShare: z.number().meta({
    description: 'Refused files over all files of the classes. Above a limit of the worker the job fails.',
  }),
  ignored: z.array(z.object({ path: z.string(), files: z.int() })).meta({
    description:
      'What tools left behind and is no data, with its number of files: a folder such as `__MACOSX/`, or the hidden files of a folder, as `ants/.*`.',
  }),
  duplicates: z
    .array(z.object({ sha256: z.string(), paths: z.array(z.string()) }))
    .meta({ description: 'Files with the same bytes. They are used, and reported.' }),
  inTrainAndVal: z
    .array(z.object({ sha256: z.string(), train: z.array(z.string()), val: z.array(z.string()) }))
    .meta({
      description:
        'Of the duplicates, those that stand on both sides of the split: the validation looks better than it is.',
    }),
});
export type DatasetReport = z.infer<typeof DatasetReport>;

export interface Dataset {
  classes: string[];
  train: Picture[];
  val: Picture[];
  report: DatasetReport;
}
