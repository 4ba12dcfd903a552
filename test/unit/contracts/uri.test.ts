import { describeIssues, JobRequest, ListQuery } from '@headstart/contracts';
import { describe, expect, it } from 'vitest';

const SMALLEST = { datasetUri: 's3://bucket/flowers/', scenario: 'small-similar' };

function messageOf(change: object): string | undefined {
  const request = { ...SMALLEST, ...change };
  const { error } = JobRequest.safeParse(request);
  return error && describeIssues(error, request)[0]?.message;
}
const dataset = (datasetUri: string) => messageOf({ datasetUri });
const weights = (uri: string) => messageOf({ model: { weights: uri } });
const output = (uri: string) => messageOf({ output: { uri } });
const webhook = (url: string) => messageOf({ webhook: { url } });

describe('a URI in a request', () => {
  it.each([
    [
      dataset,
      ['s3://bucket', 's3://bucket/a/', 'file:///', 'file:///a b/', 'https://example.com:8443/a.TAR.gz'],
    ],
    [weights, ['s3://bucket/vgg19.h5', 'file:///vgg19.HDF5', 'https://[2001:db8::1]/a/model.json']],
    [output, ['s3://my_bucket/a', 'file:///models']],
    [webhook, ['https://example.com', 'http://10.0.0.1:8080/hook?key=a/b', 'https://example.com?a']],
  ] as const)('is taken in each of its forms (%#)', (check, uris) => {
    for (const uri of uris) expect([uri, check(uri)]).toEqual([uri, undefined]);
  });

  it.each([
    [dataset, '', 'starts with one of s3://BUCKET, file:///, https://HOST'],
    [dataset, 's3://ab/flowers/', 'starts with one of s3://BUCKET'],
    [dataset, 'file://host/flowers/', 'starts with one of'],
    [dataset, 'https://example.com/flowers/', 'must end in one of .zip, .tar, .tar.gz, .tgz'],
    [dataset, 's3://bucket/flowers/#1', 'fragment'],
    [dataset, 'https://me:secret@example.com/a.zip', 'user name or password'],
    [weights, 's3://bucket/vgg19.onnx', 'must end in one of .h5, .hdf5, .json'],
    [output, '', 'output.uri must be a URI that starts with one of s3://BUCKET, file:///'],
    [output, 'https://example.com/', 'starts with one of'],
    [webhook, '', 'webhook.url must be a URI that starts with one of https://HOST, http://HOST'],
    [webhook, 'https://', 'starts with one of'],
    [webhook, 'https://:80/', 'starts with one of'],
    [webhook, 'https://1.2.3.4.5/', 'host that there can be'],
    [webhook, 'https://example.com:65536/', 'host that there can be'],
  ] as const)('is refused with what is wrong with it (%#)', (check, uri, reason) => {
    expect(check(uri)).toContain(reason);
  });
});

it('an empty cursor is no cursor', () => {
  expect(ListQuery.safeParse({ cursor: '' }).error?.issues[0]?.path).toEqual(['cursor']);
});
