import { mkdir, readdir, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';

const JOB_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const ATTEMPT = /^attempt-(\d+)$/;

/**
 * Makes the empty folder of one attempt, `WORK_DIR/JOB/attempt-N`, and removes what attempts that are over left behind:
 * the job's own earlier ones, and those of other jobs.
 * @param isOver whether that job is known and no worker has it; another worker may share this WORK_DIR.
 */
export async function makeWorkFolder(
  workDir: string,
  jobId: string,
  attempt: number,
  isOver: (jobId: string) => Promise<boolean>,
): Promise<string> {
  await mkdir(workDir, { recursive: true });
  for (const other of await readdir(workDir)) {
    if (!JOB_ID.test(other) || other === jobId) continue;
    const otherFolder = join(workDir, other);
    // Before its state is asked for: an attempt that begins behind the answer is not among them.
    const attempts = await namesIn(otherFolder);
    if (!(await isOver(other))) continue;
    for (const name of attempts) await remove(join(otherFolder, name));
    await removeIfEmpty(otherFolder);
  }
  const jobFolder = join(workDir, jobId);
  const folder = join(jobFolder, `attempt-${attempt}`);
  for (const name of await namesIn(jobFolder)) {
    if (Number(ATTEMPT.exec(name)?.[1] ?? 0) <= attempt) await remove(join(jobFolder, name));
  }
  // With the job's own, which another worker may have found empty, and removed.
  await mkdir(folder, { recursive: true });
  return folder;
}

/** Removes an attempt's folder, and the job's when no other attempt is in it. */
export async function removeWorkFolder(folder: string): Promise<void> {
  await remove(folder);
  await removeIfEmpty(dirname(folder));
}

/** Nothing where there is no such folder. */
async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

async function removeIfEmpty(folder: string): Promise<void> {
  await rmdir(folder).catch(() => undefined);
}

async function remove(path: string): Promise<void> {
  // Retried: a killed process may still be letting go of its files.
  await rm(path, { recursive: true, force: true, maxRetries: 3 });
}
