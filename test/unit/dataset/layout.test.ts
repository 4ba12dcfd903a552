import { expect, it } from 'vitest';
import { findLayout } from '../../../packages/dataset/dist/layout.js';

/** Folders as a bucket has them that holds these keys, where nothing keeps a part of a key from being empty. */
function foldersOf(...keys: string[]): (key: string) => Promise<string[]> {
  let asked = 0;
  return (key) => {
    if (++asked > 100) throw new Error('asked for ever');
    const prefix = key === '' ? '' : `${key}/`;
    const below = keys.filter((one) => one.startsWith(prefix)).map((one) => one.slice(prefix.length));
    return Promise.resolve([
      ...new Set(below.filter((one) => one.includes('/')).map((one) => one.split('/')[0]!)),
    ]);
  };
}

it('a key with two slashes in a row makes no class without a name', async () => {
  const { classes } = await findLayout(foldersOf('/1.png', 'ants/1.png', 'bees//2.png'));
  expect(classes).toEqual(['ants', 'bees']);
});

it('a bucket whose keys all begin with a slash is refused, and not searched for ever', async () => {
  await expect(findLayout(foldersOf('/ants/1.png', '/bees/1.png'))).rejects.toMatchObject({
    code: 'dataset_invalid',
    message: expect.stringContaining('no class folder was found') as string,
  });
});
