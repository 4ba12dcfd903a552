import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root, from `scripts/src` and `scripts/dist` alike. */
export const REPO_ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Where fetched and built tools are kept between runs; not in version control. */
export const TOOL_CACHE = join(REPO_ROOT, '.cache');
