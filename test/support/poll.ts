import { setTimeout as delay } from 'node:timers/promises';

/** Asks again and again until the answer is not null. @throws Error at the deadline, saying what was waited for. */
export async function poll<T>(
  what: string,
  ask: () => Promise<T | null> | T | null,
  timeoutMs = 60_000,
): Promise<T> {
  const deadlineMs = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== null) return answer;
    if (Date.now() > deadlineMs) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await delay(50);
  }
}
