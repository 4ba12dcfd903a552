import { mkdir, mkdtemp, readFile, readdir, rename, rm, stat, symlink } from 'node:fs/promises';
import { arch } from 'node:os';
import { join } from 'node:path';
import { execFileAsync, findExecutable } from '../processes.js';
import type { RedisProgram } from './server.js';

/** redis-tools has the server's own binary under another name; the other three are the libraries that are rarely there. */
const PACKAGES = ['redis-tools', 'libjemalloc2', 'liblzf1', 'libatomic1'];
const UPDATE_TIMEOUT_MS = 120_000;

/**
 * Unpacks the distribution's own Redis (Debian, Ubuntu) below `cacheFolder`, without root and without installing anything.
 *
 * apt works with package lists and a cache of its own. Kept between runs: the second call only looks.
 * @throws Error where there is no apt-get, no network or no such package.
 */
export async function unpackDebianRedis(cacheFolder: string, signal?: AbortSignal): Promise<RedisProgram> {
  const target = join(cacheFolder, `${await distribution()}-${arch()}`);
  if (!(await exists(join(target, 'usr/bin/redis-server')))) {
    for (const tool of ['apt-get', 'dpkg']) {
      if (!(await findExecutable([tool]))) throw new Error(`there is no ${tool}`);
    }
    await mkdir(cacheFolder, { recursive: true });
    // Prepared beside its place and moved there whole: two processes may be at it at once.
    const work = await mkdtemp(join(cacheFolder, 'unpacking-'));
    try {
      await download(work, signal);
      await moveInto(join(work, 'root'), target);
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  }
  const libraries = join(target, 'usr/lib');
  const triplets = (await readdir(libraries, { withFileTypes: true })).filter((entry) => entry.isDirectory());
  return {
    file: join(target, 'usr/bin/redis-server'),
    libraryFolders: triplets.map((entry) => join(libraries, entry.name)),
  };
}

async function download(work: string, signal: AbortSignal | undefined): Promise<void> {
  const [lists, cache, packages, root] = ['lists', 'cache', 'packages', 'root'].map((name) =>
    join(work, name),
  );
  if (!lists || !cache || !packages || !root) return;
  await Promise.all([
    mkdir(join(lists, 'partial'), { recursive: true }),
    mkdir(join(cache, 'archives/partial'), { recursive: true }),
    mkdir(packages),
    mkdir(root),
  ]);
  const own = [
    '-qq',
    '-o',
    `Dir::State::lists=${lists}`,
    '-o',
    `Dir::Cache=${cache}`,
    '-o',
    'APT::Sandbox::User=',
  ];
  const limits = [
    '-o',
    'Acquire::Retries=1',
    '-o',
    'Acquire::http::Timeout=20',
    '-o',
    'Acquire::https::Timeout=20',
  ];
  const run = { cwd: packages, timeout: UPDATE_TIMEOUT_MS, ...(signal && { signal }) };
  await execFileAsync('apt-get', [...own, ...limits, 'update'], run);
  await execFileAsync('apt-get', [...own, ...limits, 'download', ...PACKAGES], run);
  for (const name of await readdir(packages)) {
    await execFileAsync('dpkg', ['-x', join(packages, name), root], run);
  }
  // The one binary is server, RDB checker and AOF checker, and chooses by the name it is called by.
  await symlink('redis-check-rdb', join(root, 'usr/bin/redis-server'));
}

async function moveInto(folder: string, target: string): Promise<void> {
  try {
    await rename(folder, target);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  }
}

/** For example `debian-12`: a binary of one release does not run on every other. */
async function distribution(): Promise<string> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '');
  const field = (name: string) => new RegExp(`^${name}="?([\\w.]+)`, 'm').exec(text)?.[1] ?? 'unknown';
  return `${field('ID')}-${field('VERSION_ID')}`;
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}
