import { chmod, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Dataset } from '@headstart/contracts';
import type { OpenDatasetOptions } from '@headstart/dataset';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createStores } from '@headstart/storage';
import { makeTar, makeZip } from '../../support/archives.js';
import { errorOf, LIMITS, openBelow, storesFor, uriOf } from '../../support/dataset.js';
import { startHttps } from '../../support/https-server.js';
import { pngs } from '../../support/pictures.js';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'headstart-dataset-'));
});
afterEach(() => rm(root, { recursive: true }));

function open(options: Partial<OpenDatasetOptions> = {}): Promise<Dataset> {
  return openBelow(root, options);
}

describe('archives', () => {
  const entriesOf = (files: Record<string, Buffer>) =>
    Object.entries(files).map(([name, bytes]) => ({ name, data: bytes }));

  it.each(['zip', 'tar'])('a .%s around one folder is unpacked below workDir', async (kind) => {
    const entries = entriesOf({
      ...(await pngs('flowers/train/rose', 3)),
      ...(await pngs('flowers/train/lily', 3, 50)),
      ...(await pngs('flowers/val/rose', 1, 100)),
      ...(await pngs('flowers/val/lily', 1, 150)),
    });
    const archive = join(root, `flowers.${kind}`);
    await writeFile(archive, kind === 'zip' ? makeZip(entries) : await makeTar(entries));
    // Read in place: it need not be writable.
    await chmod(archive, 0o444);
    const { classes, train, val, report } = await open({ uri: uriOf(archive) });
    expect(classes).toEqual(['lily', 'rose']);
    expect(report).toMatchObject({ split: { source: 'folders' }, pictures: { train: 6, val: 2 } });
    expect(val[0]?.path).toBe('flowers/val/lily/000.png');
    for (const { file } of train) expect(file.startsWith(join(root, 'work', 'dataset'))).toBe(true);
  });

  it('one that a link leads to since it was found is not read', async () => {
    const [own, other] = [join(root, 'own'), join(root, 'other')];
    for (const folder of [own, other]) {
      await mkdir(folder);
      const entries = entriesOf({ ...(await pngs('a', 2)), ...(await pngs('b', 2, 9)) });
      await writeFile(join(folder, 'data.zip'), makeZip(entries));
    }
    const stores = storesFor(root);
    const swapping: typeof stores = {
      ...stores,
      locate(uri) {
        const { store, key } = stores.locate(uri);
        const found = store.stat.bind(store);
        store.stat = async (name) => {
          const info = await found(name);
          await rename(own, `${own}-moved`);
          await symlink(other, own);
          return info;
        };
        return { store, key };
      },
    };
    const error = await errorOf(open({ uri: uriOf(join(own, 'data.zip')), stores: swapping }));
    expect(error.message).toContain('a link has been put on its way');
  });

  it('an empty class folder is seen', async () => {
    const archive = join(root, 'data.zip');
    await writeFile(archive, makeZip([...entriesOf(await pngs('ants', 2)), { name: 'bees/' }]));
    expect((await errorOf(open({ uri: uriOf(archive) }))).message).toContain(
      'Class "bees" has no usable picture',
    );
  });

  it('a second attempt finds its folder clean', async () => {
    const archive = join(root, 'data.zip');
    await writeFile(archive, makeZip(entriesOf({ ...(await pngs('a', 2)), ...(await pngs('b', 2, 9)) })));
    const first = await open({ uri: uriOf(archive) });
    expect(await open({ uri: uriOf(archive) })).toEqual(first);
  });

  it('an unsafe one is refused', async () => {
    const archive = join(root, 'evil.zip');
    await writeFile(archive, makeZip([{ name: '../../evil.jpg' }]));
    expect((await errorOf(open({ uri: uriOf(archive) }))).code).toBe('archive_unsafe');
  });

  it('a web server need neither say its size nor answer anything but a GET', async ({
    skip,
    onTestFinished,
  }) => {
    const archive = makeZip(entriesOf({ ...(await pngs('a', 2)), ...(await pngs('b', 2, 9)) }));
    // As servers that pack an archive while they send it.
    const server = await startHttps((request, response) => {
      if (request.method !== 'GET') return void response.writeHead(405).end();
      response.write(archive.subarray(0, 100));
      response.end(archive.subarray(100));
    });
    if ('skip' in server) return skip(server.skip);
    onTestFinished(() => server.stop());
    server.trust();
    const stores = createStores({
      fileRoots: [],
      allowedNetworks: ['127.0.0.0/8', '::1/128'],
      s3: { region: 'us-east-1', forcePathStyle: true },
    });
    const uri = `${server.origin}/flowers?token=secret&as=.zip`;
    const { classes, report } = await open({ uri, stores });
    expect(classes).toEqual(['a', 'b']);
    expect(report.uri).toBe(`${server.origin}/flowers`);

    const limits = { ...LIMITS, downloadBytes: archive.length - 1 };
    const error = await errorOf(open({ uri, stores, limits }));
    expect(error.code).toBe('dataset_invalid');
    expect(error.message).toContain(
      `${server.origin}/flowers is larger than the ${archive.length - 1} bytes`,
    );
  });
});
