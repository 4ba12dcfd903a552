import { ENDED_STATUSES, type JobEvent, type SentJobEvent } from '@headstart/contracts';
import type { JobFeed } from './feed.js';

/** Id of the last event of a job, which is made from its record: behind it there is nothing. */
export const END = 'end';

/**
 * A job's events as text/event-stream, from an entry on to the job's end.
 *
 * The consumer pulls: one that is slow is behind, holds nothing up, and costs no memory.
 * @param after id of the last event that the client has, `0-0` for none.
 */
export async function* follow(feed: JobFeed, after: string, signal: AbortSignal): AsyncGenerator<string> {
  let place = after;
  let progress: unknown = null;
  // The first byte tells the client that it is heard.
  yield ': listening\n\n';
  while (!signal.aborted) {
    const seen = feed.version;
    const { job, isGone } = await feed.refresh();
    // Null where Redis did not answer: then there may be more before the end.
    const read = await feed.after(place).catch(() => null);
    const events = read ?? [];
    for (const { id, event } of events) {
      place = id;
      if (event !== null) yield format(event, new Date(Number(id.split('-')[0])), id);
    }
    if (isGone) return;
    if (events.length > 0) continue;
    if (read && job && ENDED_STATUSES.includes(job.status)) {
      const { status, attempts, error, finishedAt } = job;
      yield format(
        { type: 'status', status, attempt: attempts, error },
        new Date(finishedAt ?? Date.now()),
        END,
      );
      return;
    }
    const latest = feed.progress ?? job?.progress ?? null;
    if (latest !== null && JSON.stringify(latest) !== JSON.stringify(progress)) {
      progress = latest;
      yield format({ type: 'progress', progress: latest }, new Date());
    } else yield ':\n\n';
    await feed.changed(seen, signal);
  }
}

/** One event (WHATWG HTML, server-sent events). Without an id it leaves the client's last one as it is. */
function format(event: JobEvent, at: Date, id?: string): string {
  const data: SentJobEvent = { ...event, at: at.toISOString() };
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${event.type}\ndata: ${JSON.stringify(data)}\n\n`;
}
