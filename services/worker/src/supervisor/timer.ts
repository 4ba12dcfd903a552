/** The longest that setTimeout can wait; beyond it fires at once. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/**
 * Calls `callback` at a time, however far away.
 * @returns a function that calls it off.
 */
export function callAt(timeMs: number, callback: () => void): () => void {
  let timer: NodeJS.Timeout;
  const arm = () => {
    const leftMs = timeMs - Date.now();
    if (leftMs > MAX_TIMEOUT_MS) timer = setTimeout(arm, MAX_TIMEOUT_MS);
    else timer = setTimeout(callback, Math.max(leftMs, 0));
  };
  arm();
  return () => clearTimeout(timer);
}
