import { EventEmitter, once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A port that leads to another server until it is cut, for faults that the server itself knows nothing of. */
export interface TcpProxy {
  port: number;
  /** Drops every connection and closes the port: connection refused. */
  cut(): Promise<void>;
  /** Resolves when so many bytes have come from clients since the start. */
  passed(bytes: number): Promise<void>;
  /** Resets every connection (RST), and takes new ones. */
  reset(): void;
  /** Keeps the connections and passes nothing on, as a network that swallows packets. */
  hang(): void;
  /** Passes everything on again, at the same port. */
  restore(): Promise<void>;
}

export async function startTcpProxy(target: { host: string; port: number }): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let isHanging = false;
  const counter = new EventEmitter();
  let passedBytes = 0;
  const server = createServer((client) => {
    const upstream = connect(target);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      socket.on('error', () => undefined);
      if (isHanging) socket.pause();
    }
    const pass = (from: Socket, to: Socket) => {
      from.on('data', (bytes) => to.write(bytes));
      // What came before an orderly end is still passed on.
      from.on('close', (hadError) => (hadError ? to.destroy() : to.end()));
      if (isHanging) from.pause();
    };
    client.on('data', (bytes) => {
      passedBytes += bytes.length;
      counter.emit('passed');
    });
    pass(client, upstream);
    pass(upstream, client);
  });

  const listen = async (port: number) => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  };
  await listen(0);
  const { port } = server.address() as AddressInfo;
  return {
    port,
    async cut() {
      const closed = server.listening ? once(server.close(), 'close') : undefined;
      for (const socket of sockets) socket.destroy();
      await closed;
    },
    async passed(bytes) {
      while (passedBytes < bytes) await once(counter, 'passed');
    },
    reset() {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    hang() {
      isHanging = true;
      for (const socket of sockets) socket.pause();
    },
    async restore() {
      isHanging = false;
      for (const socket of sockets) socket.resume();
      if (!server.listening) await listen(port);
    },
  };
}
