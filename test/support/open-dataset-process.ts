/**
 * Opens a data set in a process of its own, so that its memory can be measured; options as JSON in the first argument.
 * Answers over IPC with the report or the error.
 */
import { AppError, type DatasetReport, type JobError } from '@headstart/contracts';
import { checkRefusedShare, type DatasetLimits, openDataset } from '@headstart/dataset';
import { createStores } from '@headstart/storage';

export interface OpenProcessOptions {
  uri: string;
  fileRoot: string;
  workDir: string;
  limits: DatasetLimits;
}

export type OpenProcessAnswer = { report: DatasetReport } | { error: JobError };

async function open({ uri, fileRoot, workDir, limits }: OpenProcessOptions): Promise<OpenProcessAnswer> {
  try {
    const { report } = await openDataset({
      uri,
      stores: createStores({
        fileRoots: [fileRoot],
        allowedNetworks: [],
        s3: { region: 'us-east-1', forcePathStyle: true },
      }),
      workDir,
      limits,
      classes: null,
      validationSplit: 0.2,
      seed: 1,
      knownDir: null,
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
    checkRefusedShare(report, limits);
    return { report };
  } catch (error) {
    return { error: AppError.from(error).toJobError() };
  }
}

const answer = await open(JSON.parse(process.argv[2]!) as OpenProcessOptions);
process.send!(answer, () => process.exit());
