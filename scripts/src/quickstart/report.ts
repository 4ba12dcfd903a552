import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { ConfusionMatrix, type Job, type JobRequestInput, Manifest } from '@headstart/contracts';
import { percent } from './progress.js';

/** What a job came to: accuracy by class against chance, and every file it left, read from its own output folder. */
export async function describeResult(job: Job): Promise<string> {
  if (!job.artifacts) throw new Error(`Job ${job.id} succeeded without artifacts`);
  const folder = new URL(job.artifacts.uri);
  const read = async (name: string): Promise<unknown> =>
    JSON.parse(await readFile(new URL(name, folder), 'utf8'));
  const matrix = ConfusionMatrix.parse(await read('confusion-matrix.json'));
  const manifest = Manifest.parse(await read('manifest.json'));

  const chance = 1 / matrix.classes.length;
  const widest = Math.max(...matrix.classes.map((name) => name.length));
  const classes = matrix.perClass.map(
    ({ class: name, recall, precision, support }) =>
      `  ${name.padEnd(widest)}  recall ${percent(recall).padStart(5)}, precision ${percent(precision).padStart(5)} of ${support} pictures`,
  );
  // Checkpoints are many and alike: one line for all of them.
  const checkpoints = new Set(manifest.files.flatMap(({ path }) => /^checkpoints\/[^/]+/.exec(path) ?? []));
  const files = manifest.files
    .filter(({ path }) => !path.startsWith('checkpoints/'))
    .map(({ path, sizeBytes }) => `  ${path} (${size(sizeBytes)})`);
  return [
    `Validation accuracy of epoch ${manifest.exportedEpoch}: ${percent(matrix.accuracy)} (chance: ${percent(chance)}), on ${job.engine ?? '?'} (${job.device ?? '?'})`,
    ...classes,
    '',
    `Artifacts in ${fileURLToPath(folder)}`,
    ...files,
    ...(checkpoints.size > 0 ? [`  checkpoints/ (${checkpoints.size} epochs)`] : []),
    '  manifest.json (size and SHA-256 of each)',
  ].join('\n');
}

/** The same job by hand, for a shell. */
export function curlLines(baseUrl: string, request: JobRequestInput): string {
  const body = JSON.stringify(request).replaceAll("'", String.raw`'\''`);
  return [
    `curl -s ${baseUrl}/jobs -H 'content-type: application/json' -d '${body}'`,
    `curl -s '${baseUrl}/jobs?dryRun=true' -H 'content-type: application/json' -d '${body}'   # the plan alone`,
    `curl -s ${baseUrl}/jobs/ID                # the "id" of the first answer`,
    `curl -s -X POST ${baseUrl}/jobs/ID/cancel`,
  ]
    .map((line) => `  ${line}`)
    .join('\n');
}

function size(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`;
  return bytes < 1_000_000 ? `${(bytes / 1_000).toFixed(0)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
