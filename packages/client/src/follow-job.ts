import { setTimeout as delay } from 'node:timers/promises';
import { AppError, type JobEvent } from '@headstart/contracts';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { type CallOptions, isOutage, textOf, type Transport } from './transport.js';

/** What happened to a job. */
export type FollowedEvent = JobEvent & {
  /** With which one goes on behind it, `end` of the last one; null of progress, which replaces itself. */
  id: string | null;
  /** ISO time. */
  at: string;
};

export interface FollowOptions extends CallOptions {
  /** `id` of the event to go on behind; from the job's beginning by default. */
  lastEventId?: string;
}

/** Id of the last event of a job. */
const END = 'end';
const CONNECT_AGAIN_MS = 1000;
/** How long a service that does not answer is borne with, for example while it is restarted. */
export const OUTAGE_LIMIT_MS = 60_000;
/** The service sends something every 5 s at least: a connection that is silent for so long is lost. */
const SILENCE_LIMIT_MS = 20_000;

/** Follows a job to its end (WHATWG HTML, server-sent events), over as many connections as it takes. */
export async function* followJob(
  transport: Transport,
  id: string,
  { lastEventId, signal }: FollowOptions,
): AsyncGenerator<FollowedEvent> {
  let lastId = lastEventId;
  let heardAtMs = Date.now();
  for (;;) {
    const connection = openEvents(transport, id, { ...(lastId !== undefined && { lastId }), signal });
    try {
      for await (const events of connection) {
        if (events === null) return;
        for (const event of events) {
          lastId = event.id ?? lastId;
          yield event;
          if (lastId === END) return;
        }
        heardAtMs = Date.now();
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (!isOutage(error) || Date.now() - heardAtMs > OUTAGE_LIMIT_MS) throw error;
    }
    await delay(CONNECT_AGAIN_MS, undefined, signal ? { signal } : {});
  }
}

/** The events of one connection, as they come; null where there are none behind the last one. */
async function* openEvents(
  transport: Transport,
  id: string,
  { lastId, signal }: { lastId?: string; signal: AbortSignal | undefined },
): AsyncGenerator<FollowedEvent[] | null> {
  const silence = new AbortController();
  const giveUp = () =>
    silence.abort(
      new AppError('internal_error', `Nothing was heard of job ${id} for ${SILENCE_LIMIT_MS} ms.`),
    );
  let timer = setTimeout(giveUp, SILENCE_LIMIT_MS);
  const ends = AbortSignal.any(signal ? [signal, silence.signal] : [silence.signal]);
  let events: FollowedEvent[] = [];
  const parser = createParser({ onEvent: (message) => events.push(parseEvent(message)) });
  try {
    const path = `/jobs/${encodeURIComponent(id)}/events`;
    const headers = { accept: 'text/event-stream', ...(lastId !== undefined && { 'last-event-id': lastId }) };
    const response = await transport.open('GET', path, { headers, signal: ends });
    if (response.status === 204) yield null;
    for await (const text of textOf(response, `GET ${path}`, ends)) {
      // Not while whoever follows is busy with what there is.
      clearTimeout(timer);
      parser.feed(text);
      const news = events;
      events = [];
      yield news;
      timer = setTimeout(giveUp, SILENCE_LIMIT_MS);
    }
  } finally {
    clearTimeout(timer);
  }
}

function parseEvent({ id, data }: EventSourceMessage): FollowedEvent {
  return { id: id ?? null, ...(JSON.parse(data) as JobEvent & { at: string }) };
}
