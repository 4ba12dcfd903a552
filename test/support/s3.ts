import { randomBytes } from 'node:crypto';
import { access, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, HeadBucketCommand, S3Client } from '@aws-sdk/client-s3';
import {
  execFileAsync,
  findExecutable,
  freePort,
  type OwnedProcess,
  spawnOwned,
} from '../../scripts/src/processes.js';
import { TOOL_CACHE } from '../../scripts/src/repo.js';
import { withTimeout } from '../../scripts/src/timeout.js';

const VERSITYGW_VERSION = 'v1.8.0';
const SEAWEEDFS_IMAGE = 'chrislusf/seaweedfs:4.47';
const BUILD_TIMEOUT_MS = 540_000;
/** Of the server in its container. */
const S3_PORT = 8333;
const START_TIMEOUT_MS = 120_000;
const BUCKET = 'headstart-test';

export interface S3Server {
  endpoint: string;
  accessKeyId: string;
  secretAccessKey: string;
  /** An empty bucket. */
  bucket: string;
  /** Ends the server at once (SIGKILL), with what it has stored. */
  kill(): Promise<void>;
  /** Starts it again after `kill`, at the same endpoint and on the same data. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

type Credentials = Pick<S3Server, 'accessKeyId' | 'secretAccessKey'>;
type RunningServer = Pick<S3Server, 'endpoint' | 'kill' | 'restart' | 'stop'>;

/**
 * Starts a real S3 server with one empty bucket: SeaweedFS in a container where a Docker engine answers and has the image or
 * can pull it, or else VersityGW, installed or built with Go.
 *
 * The build is kept in `.cache/bin`; it takes a minute or two, so a hook that calls this needs a long time limit.
 * @returns `skip`, the reason, where neither can be had. @throws Error then, where S3_TESTS is "required".
 */
export async function startS3(): Promise<S3Server | { skip: string }> {
  const credentials = {
    accessKeyId: `test${randomBytes(6).toString('hex')}`,
    secretAccessKey: randomBytes(24).toString('hex'),
  };
  const reasons: string[] = [];
  for (const start of [startSeaweedFs, startVersityGw]) {
    try {
      const server = await start(credentials);
      return { ...server, ...credentials, bucket: BUCKET };
    } catch (error) {
      reasons.push(`${start.name}: ${(error as Error).message}`);
    }
  }
  const skip = `no S3 server can be had here (${reasons.join('; ')})`;
  if (process.env['S3_TESTS'] === 'required') throw new Error(skip);
  return { skip };
}

async function startVersityGw(credentials: Credentials): Promise<RunningServer> {
  const program = await findVersityGw();
  const folder = await mkdtemp(join(tmpdir(), 'headstart-s3-'));
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const [data, metadata] = [join(folder, 'data'), join(folder, 'metadata')];
  await Promise.all([mkdir(data), mkdir(metadata)]);
  // Metadata in a folder of its own, and no O_TMPFILE: a temporary folder may lie on a file system without either.
  const args = ['--quiet', '--health', '/health', '--port', `127.0.0.1:${port}`];
  const posix = ['posix', '--sidecar', metadata, '--disableotmp', data];
  const env = { ROOT_ACCESS_KEY: credentials.accessKeyId, ROOT_SECRET_KEY: credentials.secretAccessKey };
  let server: OwnedProcess | undefined;
  const run = async () => {
    server = await spawnOwned(program, [...args, ...posix], { env, removeFolder: folder });
    server.stdout.resume();
    server.stderr.resume();
    await untilHealthy(`${endpoint}/health`, server.ended);
  };
  const stop = async () => {
    await server?.stop(5_000);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await run();
    await withClient(endpoint, credentials, (client) =>
      client.send(new CreateBucketCommand({ Bucket: BUCKET })),
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    endpoint,
    async kill() {
      server?.kill();
      await server?.ended;
    },
    restart: run,
    stop,
  };
}

/** VersityGW from PATH, from an earlier build, or built now. */
async function findVersityGw(): Promise<string> {
  const installed = await findExecutable(['versitygw']);
  if (installed) return installed;
  const folder = join(TOOL_CACHE, 'bin');
  const built = join(folder, `versitygw-${VERSITYGW_VERSION}`);
  if (!(await isThere(built))) {
    const go = await findExecutable(['go'], ['/usr/local/go/bin']);
    if (!go) throw new Error('there is no versitygw on PATH, and no Go to build it with');
    await mkdir(folder, { recursive: true });
    const build =
      '[ -x "$1" ] || { GOBIN="$2/building" "$3" install "$4" && mv "$2/building/versitygw" "$1"; }';
    const module = `github.com/versity/versitygw/cmd/versitygw@${VERSITYGW_VERSION}`;
    const shell = ['sh', '-c', build, 'build', built, folder, go, module];
    // Several test files may come here at once: the first one builds, the others wait for it.
    const flock = await findExecutable(['flock']);
    const [command, ...args] = flock ? [flock, join(folder, 'building.lock'), ...shell] : shell;
    // Outside the repository, so that Go does not look for a module or a version control system there.
    await execFileAsync(command ?? 'sh', args, { cwd: tmpdir(), timeout: BUILD_TIMEOUT_MS });
  }
  return built;
}

async function startSeaweedFs(credentials: Credentials): Promise<RunningServer> {
  const { GenericContainer, getContainerRuntimeClient, Wait } = await import('testcontainers');
  const runtime = await getContainerRuntimeClient();
  const starting = new GenericContainer(SEAWEEDFS_IMAGE)
    .withCommand(['mini', '-dir=/data', '-s3.autoCreateBucket=false', '-master.telemetry=false'])
    .withEnvironment({
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      S3_BUCKET: BUCKET,
    })
    // A port that is named stays the same over a restart.
    .withExposedPorts({ container: S3_PORT, host: await freePort() })
    .withWaitStrategy(Wait.forHttp('/healthz', S3_PORT))
    .withStartupTimeout(START_TIMEOUT_MS)
    .start();
  const started = await withTimeout(starting, START_TIMEOUT_MS, `${SEAWEEDFS_IMAGE} did not start`);
  const endpoint = `http://${started.getHost()}:${started.getMappedPort(S3_PORT)}`;
  const container = runtime.container.getById(started.getId());
  const stop = async () => void (await started.stop());
  try {
    // A container that lost its settings would let everyone in, without the bucket.
    await withClient(endpoint, credentials, (client) =>
      client.send(new HeadBucketCommand({ Bucket: BUCKET })),
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    endpoint,
    kill: async () => void (await container.kill()),
    async restart() {
      await container.start();
      await untilHealthy(`${endpoint}/healthz`, container.wait());
    },
    stop,
  };
}

async function withClient(
  endpoint: string,
  credentials: Credentials,
  use: (client: S3Client) => Promise<unknown>,
): Promise<void> {
  const client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
  try {
    await use(client);
  } finally {
    client.destroy();
  }
}

/**
 * The server announces nothing once it listens, so its health is asked for until it answers.
 * @param ended settles when the server has ended. @throws Error then, or after a time limit.
 */
async function untilHealthy(url: string, ended: Promise<unknown>): Promise<void> {
  const asking = new AbortController();
  const ask = async () => {
    while (!asking.signal.aborted) {
      const ok = await fetch(url).then(
        (response) => response.ok,
        () => false,
      );
      if (ok) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const gone = ended.then((how) => {
    throw new Error(`the server of ${url} ${typeof how === 'string' ? how : 'has ended'}`);
  });
  try {
    await withTimeout(Promise.race([ask(), gone]), START_TIMEOUT_MS, `${url} did not answer`);
  } finally {
    asking.abort();
  }
}

async function isThere(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
