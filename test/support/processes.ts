import { poll } from './poll.js';

/** Resolves when there is no such process any more. @throws Error when there still is at the deadline. */
export async function gone(pid: number, timeoutMs = 30_000): Promise<void> {
  await poll(`process ${pid} to end`, () => (isAlive(pid) ? null : true), timeoutMs);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
