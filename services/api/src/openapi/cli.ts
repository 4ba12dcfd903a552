import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { renderDocument } from './document.js';

const FILE = new URL('../../../../openapi.yaml', import.meta.url);

const { values } = parseArgs({ options: { check: { type: 'boolean' }, write: { type: 'boolean' } } });
if (values.check === values.write) throw new Error('Say either --check or --write');

const wanted = await renderDocument();
if (values.write) {
  await writeFile(FILE, wanted);
} else if ((await readFile(FILE, 'utf8').catch(() => '')) !== wanted) {
  console.error('openapi.yaml is not what the contracts and routes say. Run: npm run openapi:fix');
  process.exitCode = 1;
}
