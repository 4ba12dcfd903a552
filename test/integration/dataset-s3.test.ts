import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppError } from '@headstart/contracts';
import { listClasses } from '@headstart/dataset';
import { createStores } from '@headstart/storage';
import { expect, test, vi } from 'vitest';
import { makeTar, makeZip } from '../support/archives.js';
import { errorOf, openBelow } from '../support/dataset.js';
import { pngs } from '../support/pictures.js';
import { startS3 } from '../support/s3.js';

test('a data set in a bucket is downloaded, as a folder and as an archive', async ({
  skip,
  onTestFinished,
}) => {
  const server = await startS3();
  if ('skip' in server) return skip(server.skip);
  vi.stubEnv('AWS_ACCESS_KEY_ID', server.accessKeyId);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', server.secretAccessKey);
  const stores = createStores({
    fileRoots: [],
    allowedNetworks: [],
    s3: { endpoint: server.endpoint, region: 'us-east-1', forcePathStyle: true },
  });
  const root = await mkdtemp(join(tmpdir(), 'headstart-dataset-s3-'));
  onTestFinished(async () => {
    stores.close();
    await server.stop();
    await rm(root, { recursive: true });
    vi.unstubAllEnvs();
  });

  const pictures = { ...(await pngs('ants', 20)), ...(await pngs('bees', 20, 50)) };
  const bucket = stores.open(`s3://${server.bucket}/sets/`);
  for (const [key, bytes] of Object.entries(pictures)) await bucket.write(`folder/${key}`, bytes);
  await bucket.write('folder/bees/large.png', Buffer.alloc(25_000_001));
  await bucket.write('folder/notes.txt', Buffer.from('outside the class folders'));
  const entries = Object.entries(pictures).map(([name, data]) => ({ name, data }));
  await bucket.write('set.zip', makeZip(entries));
  await bucket.write('set.tar', await makeTar(entries));

  const uri = bucket.uriOf('folder/');
  expect(await listClasses(stores, uri, null)).toEqual(['ants', 'bees']);
  const progress: unknown[] = [];
  const folder = await openBelow(root, { uri, stores, onProgress: (step) => progress.push(step) });
  expect(folder.report).toMatchObject({ uri, pictures: { train: 32, val: 8 } });
  expect(folder.report.refused).toEqual([
    {
      path: 'bees/large.png',
      reason: 'it has 25000001 bytes; a picture may have at most 25000000',
    },
  ]);
  expect(progress).toContainEqual({ done: 41, total: 41, unit: 'files' });
  for (const { path, file } of [...folder.train, ...folder.val]) {
    expect(file.startsWith(join(root, 'work', 'dataset'))).toBe(true);
    expect(await readFile(file)).toEqual(pictures[path]);
  }

  // Removed behind the listing: it is that picture that is missing, and not the data set.
  const gone: typeof stores = {
    ...stores,
    open(at) {
      const store = stores.open(at);
      const read = store.read.bind(store);
      store.read = async (key, options) => {
        if (key === 'ants/007.png') await store.deleteAll(key);
        return read(key, options);
      };
      return store;
    },
  };
  const missing = await errorOf(openBelow(root, { uri, stores: gone }));
  expect(missing.code).toBe('storage_not_found');
  expect(missing.message).toContain(`${uri}ants/007.png does not exist`);

  for (const name of ['set.zip', 'set.tar']) {
    const archive = await openBelow(root, { uri: bucket.uriOf(name), stores });
    // The same bytes split by the same seed, wherever they came from.
    expect(archive.report.digest).toBe(folder.report.digest);
  }

  const canceled = new AppError('canceled', 'The job was canceled.');
  for (const name of ['folder/', 'set.zip']) {
    const controller = new AbortController();
    const stopped = openBelow(root, {
      uri: bucket.uriOf(name),
      stores,
      signal: controller.signal,
      onProgress: () => controller.abort(canceled),
    });
    expect(await errorOf(stopped)).toBe(canceled);
  }

  for (const absent of ['absent/', 'absent.zip'])
    expect((await errorOf(openBelow(root, { uri: bucket.uriOf(absent), stores }))).code).toBe(
      'dataset_not_found',
    );
  const elsewhere = openBelow(root, { uri: 's3://headstart-no-such-bucket/set/', stores });
  expect((await errorOf(elsewhere)).code).toBe('dataset_not_found');
}, 600_000);
