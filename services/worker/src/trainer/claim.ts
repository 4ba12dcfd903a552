/**
 * Which attempt may publish a job's files. The queue's lock should leave one attempt alone with a job, but a worker that
 * was stopped and wakes up does not know yet that it has lost it. So the object store itself has the last word.
 *
 * `attempts/0001.json`, `attempts/0002.json`, ... are a log. Each entry is written only if it is absent (`If-None-Match: *`,
 * RFC 9110, section 13.1.2; link(2) in a folder), so that of two attempts that write the same entry one finds it taken, and
 * reads what stands there. An attempt begins with a claim, in the first free entry. It publishes with a commit, in the
 * very next entry behind its own claim: where another attempt has claimed since, that entry is taken, and it never can.
 * So a job has one commit at most, and an attempt that has claimed knows that no earlier one will still commit.
 *
 * Until the commit an attempt writes only under names that have the number of its claim, so a write that was on its way
 * when another attempt claimed meets nobody's file. What the commit lists is moved to its place behind it, by whoever
 * finds the commit; however often and late, it is always the same bytes.
 */
import { randomUUID } from 'node:crypto';
import { AppError, Manifest, type ObjectBody, type ObjectStore } from '@headstart/contracts';
import { z } from 'zod';

const FOLDER = 'attempts';
/** How long an attempt that has failed waits for a store that does not say whether another has claimed: a canceled one has 4 s in all. */
const LAST_CHECK_MS = 500;
const MAX_ENTRY_BYTES = 16 * 1024 * 1024;

/** `token` says whose an entry is where the answer to its write was lost. */
const author = { version: z.literal(1), attempt: z.int(), token: z.uuid(), at: z.iso.datetime() };
const Commit = z.object({
  ...author,
  type: z.literal('commit'),
  /** Where the files of the manifest lie until they are in their place, with a slash at its end. */
  folder: z.string(),
  /** Of the manifest's files, those that lie in `folder`. */
  staged: z.array(z.string()),
  manifest: Manifest,
});
export type Commit = z.infer<typeof Commit>;
const Entry = z.discriminatedUnion('type', [z.object({ ...author, type: z.literal('claim') }), Commit]);
type Entry = z.infer<typeof Entry>;

/** Another attempt has the job: nothing of this one's will be published. */
export class Superseded extends Error {
  override name = 'Superseded';
}

export interface Claim {
  /** Number of the claim in the log, which no other attempt has. */
  number: number;
  /** Folder of this attempt's files until they are published, with a slash at its end. */
  folder: string;
  /** @throws Superseded where another attempt has claimed. A write that follows may be late all the same. */
  check(signal: AbortSignal): Promise<void>;
  /** Writes an object behind a check. */
  write(key: string, body: ObjectBody, options: { contentType?: string; signal: AbortSignal }): Promise<void>;
  /** Decides that these are the job's files. @throws Superseded where another attempt has claimed. */
  commit(staged: string[], manifest: Manifest): Promise<Commit>;
}

/**
 * Claims a job for an attempt.
 * @param attempt as the queue counts them. One that it counts twice, as it may when Redis lost its last second, goes to
 *   the later claim.
 * @returns the commit instead, where an earlier attempt has published.
 * @throws Superseded where a later attempt has claimed.
 */
export async function claimJob(store: ObjectStore, attempt: number): Promise<Claim | Commit> {
  const token = randomUUID();
  const authored = () => ({ version: 1 as const, attempt, token, at: new Date().toISOString() });
  for (let number = 1; ; number++) {
    const entry =
      (await readEntry(store, number)) ?? (await append(store, number, { ...authored(), type: 'claim' }));
    if (entry.type === 'commit') return entry;
    if (entry.attempt > attempt) throw superseded(number);
    if (entry.token !== token) continue;

    const check = (signal: AbortSignal) => checkClaim(store, number, signal);
    const folder = `${FOLDER}/${padded(number)}/`;
    return {
      number,
      folder,
      check,
      async write(key, body, options) {
        await check(options.signal);
        await store.write(key, body, options);
      },
      async commit(staged, manifest) {
        const commit = { ...authored(), type: 'commit' as const, folder, staged, manifest };
        const written = await append(store, number + 1, commit);
        if (written.token === token && written.type === 'commit') return written;
        throw superseded(number + 1);
      },
    };
  }
}

/** @throws Superseded where the claim of that number is no longer the last. */
export async function checkClaim(store: ObjectStore, number: number, signal: AbortSignal): Promise<void> {
  if ((await store.stat(keyOf(number + 1), { signal })) !== null) throw superseded(number + 1);
}

/**
 * Does an attempt's work. What goes wrong with it behind another attempt's claim, such as a file that is gone, is
 * that claim's doing.
 */
export async function underClaim<Result>(claim: Claim, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    await claim.check(AbortSignal.timeout(LAST_CHECK_MS)).catch((reason: unknown) => {
      if (reason instanceof Superseded) throw reason;
    });
    throw error;
  }
}

export function isCommit(claimed: Claim | Commit): claimed is Commit {
  return 'manifest' in claimed;
}

/** The folders that attempts have made for their files, each with a slash at its end. */
export async function foldersOfAttempts(store: ObjectStore): Promise<string[]> {
  return (await store.listFolders(FOLDER)).map((name) => `${FOLDER}/${name}/`);
}

/** @returns the entry that stands there afterwards: this one, or another's that was first. */
async function append(store: ObjectStore, number: number, entry: Entry): Promise<Entry> {
  const body = Buffer.from(`${JSON.stringify(entry, null, 2)}\n`);
  const options = { contentType: 'application/json', onlyIfAbsent: true };
  if (await store.write(keyOf(number), body, options)) return entry;
  const other = await readEntry(store, number);
  if (other !== null) return other;
  throw new AppError('storage_unavailable', `${store.uriOf(keyOf(number))} comes and goes. Try again.`);
}

async function readEntry(store: ObjectStore, number: number): Promise<Entry | null> {
  if ((await store.stat(keyOf(number))) === null) return null;
  const bytes = await store.readBytes(keyOf(number), MAX_ENTRY_BYTES);
  return Entry.parse(JSON.parse(Buffer.from(bytes).toString()));
}

function superseded(number: number): Superseded {
  return new Superseded(`Another attempt has the job, see ${keyOf(number)}.`);
}

function keyOf(number: number): string {
  return `${FOLDER}/${padded(number)}.json`;
}

function padded(number: number): string {
  return String(number).padStart(4, '0');
}
