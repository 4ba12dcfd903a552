import { once } from 'node:events';
import { createServer, request as sendRequest, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough, pipeline } from 'node:stream';

/** An answer that the S3 server itself does not give when asked to. */
export interface Fault {
  status: number;
  /** As S3 names it in its XML. */
  code: string;
  /** Which requests it is the answer to; without it, all. */
  to?: (request: IncomingMessage) => boolean;
  /** How many of them; without it, all. */
  times?: number;
}

/** An HTTP endpoint that leads to an S3 server, and answers some requests itself. */
export interface FaultyEndpoint {
  endpoint: string;
  /** Takes effect from the next request on. */
  answerWith(fault: Fault | null): void;
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
  const server = createServer((request, response) => {
    if (fault && left > 0 && (fault.to?.(request) ?? true)) {
      left -= 1;
      faults += 1;
      const { status, code } = fault;
      request.resume();
      request.once('end', () =>
        response
          .writeHead(status, { 'content-type': 'application/xml' })
          .end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>injected</Message></Error>`),
      );
      return;
    }
    const { method, url, headers } = request;
    // The Host header goes on as it is: the signature covers it.
    const onward = sendRequest({ ...target, method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      pipeline(answer, through ?? new PassThrough(), response, () => undefined);
    });
    onward.on('error', () => response.destroy());
    pipeline(request, onward, () => undefined);
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
