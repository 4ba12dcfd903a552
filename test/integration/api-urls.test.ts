import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { folderUri, makeFolders, startApi, type TestApi } from '../support/api.js';

let api: TestApi;
let datasetUri: string;
beforeAll(async () => {
  api = await startApi(inject('redisUrl'));
  datasetUri = await makeFolders(join(api.root, 'flowers'), ['tulip', 'daisy']);
});
afterAll(() => api.close());

const small = () => ({ datasetUri, scenario: 'small-similar' });

describe('a URL of another kind', () => {
  it.each(['file:///etc/passwd', 'ftp://example.com/x.zip', 'gopher://example.com/x.zip', 'data:,x.zip'])(
    'is refused with the field that has it: %s',
    async (url) => {
      for (const [field, body] of [
        ['webhook.url', { webhook: { url } }],
        ['datasetUri', { datasetUri: url.replace('file:', 'http:') }],
        ['model.weights', { model: { weights: url.replace('file:', 'http:') } }],
      ] as const) {
        const answer = await api.post({ ...small(), ...body });
        expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request', errors: [{ field }] } });
      }
    },
  );
});

describe('a URL that leads inside', () => {
  const inside = [
    '127.0.0.1',
    '2130706433',
    '0x7f.1',
    '0177.0.0.1',
    '169.254.169.254',
    '[::1]',
    '[::ffff:10.0.0.1]',
  ];

  it.each(inside)('is refused when it is posted: %s', async (host) => {
    for (const body of [
      { datasetUri: `https://${host}/flowers.zip` },
      { model: { weights: `https://${host}/vgg19.h5` } },
      { webhook: { url: `https://${host}/hook` } },
      { webhook: { url: `http://${host}:6379/` } },
    ]) {
      const answer = await api.post({ ...small(), ...body });
      expect(answer).toMatchObject({ status: 403, body: { code: 'uri_forbidden', retryable: false } });
    }
  });

  it('is taken where the operator allows its network', async () => {
    const own = await startApi(inject('redisUrl'), {
      env: { ALLOWED_NETWORKS: '127.0.0.0/8', FILE_ROOTS: api.root },
    });
    try {
      const body = { ...small(), output: { uri: folderUri(api.root) } };
      const post = (url: string) => own.post({ ...body, webhook: { url } });
      expect((await post('http://127.0.0.1:8080/hook')).status).toBe(202);
      expect((await post('http://10.0.0.1:8080/hook')).status).toBe(403);
    } finally {
      await own.close();
    }
  });

  it('shows no password that was written into it', async () => {
    const answer = await api.post({ ...small(), webhook: { url: 'https://me:hunter2@example.com/' } });
    expect(answer.status).toBe(400);
    expect(JSON.stringify(answer.body)).not.toContain('hunter2');
    expect(JSON.stringify(answer.body)).toContain('//***@example.com');
  });
});
