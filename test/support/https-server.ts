import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { promisify } from 'node:util';

export interface HttpsServer {
  /** https://localhost:PORT, without a slash at its end. */
  origin: string;
  /** Makes this process trust the server's certificate, as NODE_EXTRA_CA_CERTS does for a service. */
  trust(): void;
  stop(): Promise<void>;
}

/** Starts a real HTTPS server at localhost, its certificate made by `openssl` and signed by itself. */
export async function startHttps(listener: RequestListener): Promise<HttpsServer | { skip: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'headstart-https-'));
  try {
    const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    const args = ['req', '-x509', '-days', '1', ...newKey, '-keyout', keyFile, '-out', certFile, ...subject];
    await promisify(execFile)('openssl', args);
    const [key, cert] = await Promise.all([readFile(keyFile), readFile(certFile)]);
    const server = createServer({ key, cert }, listener).listen(0, 'localhost');
    await once(server, 'listening');
    const before = getCACertificates('default');
    return {
      origin: `https://localhost:${(server.address() as AddressInfo).port}`,
      trust: () => setDefaultCACertificates([...before, cert]),
      async stop() {
        setDefaultCACertificates(before);
        server.closeAllConnections();
        await once(server.close(), 'close');
      },
    };
  } catch (error) {
    return { skip: `no HTTPS server can be had here: ${(error as Error).message}` };
  } finally {
    await rm(folder, { recursive: true });
  }
}
