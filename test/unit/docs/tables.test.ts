import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const read = (file: string) => readFileSync(resolve(import.meta.dirname, '../../..', file), 'utf8');
/** `test/file.test.ts` "title of a test" */
const CITATION = /`(test\/\S+\.test\.ts)`((?:,? "[^"]+")+)/g;

describe.each(['docs/faults.md', 'docs/urls.md'])('%s', (document) => {
  const text = read(document).replace(/\n(?!\n|\|)/g, ' ');

  it('names tests that there are, in each row of its tables', () => {
    const rows = text
      .split('\n')
      .filter((line) => line.startsWith('| ') && !/^\| (---|attack|fault)/.test(line));
    expect(rows.length).toBeGreaterThan(10);
    for (const row of rows) expect(row, row).toMatch(CITATION);
    for (const [, file = '', titles = ''] of text.matchAll(CITATION)) {
      // As prettier breaks no string, a title stands in one piece in its file.
      const source = read(file);
      const cited = [...titles.matchAll(/"([^"]+)"/g)].map(([, title]) => title);
      for (const title of cited) expect(source, file).toContain(title);
    }
  });
});
