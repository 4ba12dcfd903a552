import { addJob, newJobId } from '@headstart/queue';
import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { type Answer, folderUri, makeFolders, startApi, type TestApi } from '../support/api.js';
import { type Holder, makeHolder } from '../support/keys.js';
import { makePayload } from '../support/queue.js';

let api: TestApi;
/** May use the folder of the same name, where it may put whatever it likes. */
let birds: Holder;
/** Of the same tenant, and may use everything. */
let operator: Holder;
/** Another tenant's. */
let secrets: string;
beforeEach(async () => {
  api = await startApi(inject('redisUrl'));
  const uriPrefixes = [folderUri(at('birds'))];
  birds = await makeHolder(api, { tenant: 'birds', uriPrefixes });
  operator = await makeHolder(api, { tenant: 'birds' });
  secrets = at('fish', 'secrets');
  await makeFolders(secrets, ['tulip', 'daisy']);
  await writeFile(join(secrets, 'job.json'), 'secret');
  await mkdir(at('birds'));
});
afterEach(() => api.close());

const at = (...names: string[]) => join(api.root, ...names);

function post({ ask }: Holder, payload: object, query = ''): Promise<Answer> {
  return ask({ method: 'POST', url: `/jobs${query}`, payload: { scenario: 'small-similar', ...payload } });
}

async function cancel(id: string): Promise<void> {
  const answer = await operator.ask({ method: 'POST', url: `/jobs/${id}/cancel` });
  expect(answer.body['status']).toBe('canceled');
}

function expectRefused({ status, body }: Answer): void {
  expect([status, body['code']]).toEqual([403, 'uri_forbidden']);
  // What the key may use, and not what the link leads to.
  expect(body['detail']).toContain(folderUri(at('birds')));
  expect(JSON.stringify(body)).not.toContain('secrets');
}

describe('a link in a folder that a key may use', () => {
  it.each(['', '?dryRun=true'])('gives no data set of another folder (%s)', async (query) => {
    await symlink(secrets, at('birds', 'flowers'));
    expectRefused(await post(birds, { datasetUri: folderUri(at('birds', 'flowers')) }, query));
    // To whom the other folder is allowed too, the link is.
    expect((await post(operator, { datasetUri: folderUri(at('birds', 'flowers')) })).status).toBe(202);
  });

  it('gives no class of another folder, but one of the same', async () => {
    const datasetUri = await makeFolders(at('birds', 'flowers'), ['tulip', 'daisy']);
    await makeFolders(at('birds', 'more'), ['rose']);
    await symlink(at('birds', 'more', 'rose'), at('birds', 'flowers', 'rose'));
    const { status, body } = await post(birds, { datasetUri });
    expect(status).toBe(202);
    expect(body).toMatchObject({ plan: { classes: ['daisy', 'rose', 'tulip'] } });
    await symlink(join(secrets, 'tulip'), at('birds', 'flowers', 'violet'));
    expectRefused(await post(birds, { datasetUri }));
  });

  it('makes no other folder one, where it stands for a folder that the key may use too', async () => {
    const prefixes = [folderUri(at('birds')), folderUri(at('birds', 'shared'))];
    const both = await makeHolder(api, { tenant: 'birds', uriPrefixes: prefixes });
    await symlink(secrets, at('birds', 'shared'));
    expectRefused(await post(both, { datasetUri: prefixes[1] }));
  });

  it('is followed where the operator has made the folder one, within FILE_ROOTS', async () => {
    const linked = async (name: string, to: string) => {
      await symlink(to, at(name));
      const holder = await makeHolder(api, { tenant: 'birds', uriPrefixes: [folderUri(at(name))] });
      return post(holder, { datasetUri: `${folderUri(at(name))}flowers/` });
    };
    await makeFolders(at('moved', 'flowers'), ['tulip', 'daisy']);
    expect((await linked('link', at('moved'))).status).toBe(202);

    const elsewhere = await mkdtemp(join(tmpdir(), 'headstart-elsewhere-'));
    await makeFolders(join(elsewhere, 'flowers'), ['tulip', 'daisy']);
    const answer = await linked('link-out', elsewhere);
    expect([answer.status, answer.body['code']]).toEqual([403, 'uri_forbidden']);
    await rm(elsewhere, { recursive: true });
  });
});

describe("a job's files", () => {
  let id: string;
  let folder: string;
  /** A job that has ended, and left a file below the key's folder. */
  async function addEnded(prefixes?: string[]): Promise<void> {
    id = newJobId();
    folder = at('birds', 'output', id);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'job.json'), 'own');
    const payload = { ...makePayload(), tenant: 'birds', outputUri: folderUri(folder) };
    await addJob(api.queue, id, { ...payload, ...(prefixes && { uriPrefixes: prefixes }) }, 1);
    await cancel(id);
  }

  describe.each([
    ['of a release before', 'a key that may use its folder alone', undefined, () => birds],
    ['with the folders that it may use', 'a key that may use everything', ['birds'], () => operator],
  ])('%s, asked for with %s', (_, __, allowed, holder) => {
    beforeEach(() => addEnded(allowed?.map((name) => folderUri(at(name)))));

    it('are listed, sent and removed as long as they are its own', async () => {
      const { ask } = holder();
      expect((await ask({ url: `/jobs/${id}/artifacts` })).body['artifacts']).toHaveLength(1);
      const file = await api.app.inject({
        url: `/jobs/${id}/artifacts/job.json`,
        headers: { authorization: `Bearer ${holder().key}` },
      });
      expect([file.statusCode, file.body]).toEqual([200, 'own']);
      expect((await ask({ method: 'DELETE', url: `/jobs/${id}?files=true` })).status).toBe(204);
      await expect(readFile(join(folder, 'job.json'))).rejects.toThrow('ENOENT');
    });

    it('are not another folder’s, where a link leads to one of its files', async () => {
      await symlink(join(secrets, 'job.json'), join(folder, 'theirs.json'));
      expectRefused(await holder().ask({ url: `/jobs/${id}/artifacts/theirs.json` }));
      expectRefused(await holder().ask({ url: `/jobs/${id}/artifacts` }));
    });

    it('are not another folder’s, where a link to it has taken the place of theirs', async () => {
      await rename(folder, `${folder}-moved`);
      await symlink(secrets, folder);
      for (const path of ['/artifacts', '/artifacts/job.json'])
        expectRefused(await holder().ask({ url: `/jobs/${id}${path}` }));
      expectRefused(await holder().ask({ method: 'DELETE', url: `/jobs/${id}?files=true` }));
      expect(await readFile(join(secrets, 'job.json'), 'utf8')).toBe('secret');
    });
  });
});

describe('what a job may use', () => {
  const uriPrefixes = async (answer: Answer) =>
    (await api.queue.jobs.getJob(String(answer.body['id'])))?.data.uriPrefixes;

  it('goes with it: what its key may use, and its own folder', async () => {
    const datasetUri = await makeFolders(at('birds', 'flowers'), ['tulip', 'daisy']);
    const answer = await post(birds, { datasetUri });
    const output = `${api.config.outputUri}birds/`;
    const own = `${output}${String(answer.body['id'])}/`;
    expect(await uriPrefixes(answer)).toEqual([folderUri(at('birds')), output, own]);
    expect(await uriPrefixes(await post(operator, { datasetUri }))).toBeUndefined();
  });

  it('is what the key may use that runs it again', async () => {
    await makeFolders(at('birds', 'flowers'), ['tulip', 'daisy']);
    const failed = await post(operator, { datasetUri: folderUri(at('birds', 'flowers')) });
    await cancel(String(failed.body['id']));
    const retry = { method: 'POST', url: `/jobs/${String(failed.body['id'])}/retry` } as const;
    expect(await uriPrefixes(await operator.ask(retry))).toBeUndefined();
    expect(await uriPrefixes(await birds.ask(retry))).toContain(folderUri(at('birds')));
  });
});
