import { EventEmitter, once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
  atMs: number;
}

export interface Receiver {
  url: string;
  received: Received[];
  /** Resolves with the next request that comes. */
  next(): Promise<Received>;
  close(): Promise<void>;
}

export const answerWith =
  (status: number, headers: Record<string, string> = {}) =>
  (response: ServerResponse) =>
    void response.writeHead(status, headers).end();

/** A real HTTP server that takes webhooks. @param answer gets how many requests came before this one. @param port 0: any free one. */
export async function startReceiver(
  answer: (response: ServerResponse, earlier: number) => void,
  port = 0,
): Promise<Receiver> {
  const received: Received[] = [];
  const emitter = new EventEmitter();
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const { url = '', headers } = request;
      received.push({ path: url, headers, body: Buffer.concat(parts).toString(), atMs: Date.now() });
      answer(response, received.length - 1);
      emitter.emit('received', received.at(-1));
    });
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const { port: boundPort } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${boundPort}/hook`,
    received,
    async next() {
      const [request] = (await once(emitter, 'received')) as [Received];
      return request;
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
