import { once } from 'node:events';
import { createServer, request as sendRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough, pipeline } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

/** What the S3 server itself does not do when asked to. */
export interface Fault {
  /** Of the answer; or, instead of one, the connection is reset (RST), or bodies go at 1 kB/s, each for five seconds. */
  status: number | 'reset' | 'slow';
  /** As S3 names it in its XML. */
  code?: string;
  /** Which requests it happens to; without it, to all. */
  to?: (request: IncomingMessage) => boolean;
  /** To how many of them; without it, to all. */
  times?: number;
}

/** A request that the endpoint holds back. */
export interface Held {
  /** Resolves when it has come. */
  reached: Promise<void>;
  /** Lets it, and all that come, through. */
  open(): void;
}

/** An HTTP endpoint that leads to an S3 server, and answers some requests itself. */
export interface FaultyEndpoint {
  endpoint: string;
  /** Takes effect from the next request on. */
  answerWith(fault: Fault | null): void;
  /** Holds back every request from the first one that `matches` on. */
  hold(matches: (request: IncomingMessage) => boolean): Held;
  /** From the next answer on, bodies come out of this one's hands; null passes them on as they are. */
  passBodies(through: ((body: AsyncIterable<Buffer>) => AsyncIterable<Buffer>) | null): void;
  /** Requests that were answered with the fault. */
  readonly faults: number;
  stop(): Promise<void>;
}

export async function startFaultyEndpoint(target: { host: string; port: number }): Promise<FaultyEndpoint> {
  let fault: Fault | null = null;
  let left = 0;
  let faults = 0;
  let through: Parameters<FaultyEndpoint['passBodies']>[0] = null;
  let gate: { matches(request: IncomingMessage): boolean; reach(): void; opened: Promise<void> } | null =
    null;
  let isHolding = false;

  const handle = (request: IncomingMessage, response: ServerResponse) => {
    const isFaulty = fault !== null && left > 0 && (fault.to?.(request) ?? true);
    if (!isFaulty) return forward(request, response, through ?? new PassThrough(), new PassThrough());
    left -= 1;
    faults += 1;
    const { status, code } = fault!;
    if (status === 'reset') request.socket.resetAndDestroy();
    else if (status === 'slow') forward(request, response, slowly, slowly);
    else answer(request, response, status, code);
  };
  const forward = (request: IncomingMessage, response: ServerResponse, back: Through, there: Through) => {
    const { method, url, headers } = request;
    // The Host header goes on as it is: the signature covers it.
    const onward = sendRequest({ ...target, method, path: url, headers }, (answered) => {
      response.writeHead(answered.statusCode!, answered.headers);
      // The types of pipeline know no union of both.
      pipeline(answered, back as PassThrough, response, () => undefined);
    });
    onward.on('error', () => response.destroy());
    pipeline(request, there as PassThrough, onward, () => undefined);
  };
  const server = createServer((request, response) => {
    if (gate && !isHolding && gate.matches(request)) {
      isHolding = true;
      gate.reach();
    }
    if (gate && isHolding) void gate.opened.then(() => handle(request, response));
    else handle(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    answerWith(next) {
      fault = next;
      left = next?.times ?? Infinity;
      faults = 0;
    },
    hold(matches) {
      let reach = () => {};
      let open = () => {};
      const reached = new Promise<void>((resolve) => (reach = resolve));
      const opened = new Promise<void>((resolve) => (open = resolve));
      isHolding = false;
      gate = { matches, reach, opened };
      return {
        reached,
        open() {
          gate = null;
          open();
        },
      };
    },
    passBodies(next) {
      through = next;
    },
    get faults() {
      return faults;
    },
    async stop() {
      const closed = once(server.close(), 'close');
      server.closeAllConnections();
      await closed;
    },
  };
}

type Through = PassThrough | ((body: AsyncIterable<Buffer>) => AsyncIterable<Buffer>);

const SLOW_SECONDS = 5;

async function* slowly(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let seconds = 0;
  for await (const part of body) {
    let start = 0;
    for (; start < part.length && seconds < SLOW_SECONDS; start += 1000, seconds++) {
      await delay(1000);
      yield part.subarray(start, start + 1000);
    }
    yield part.subarray(start);
  }
}

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  code = 'InternalError',
): void {
  request.resume();
  request.once('end', () =>
    response
      .writeHead(status, { 'content-type': 'application/xml' })
      .end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>injected</Message></Error>`),
  );
}
