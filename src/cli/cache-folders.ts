import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** One kind of what a study folder keeps to save work. */
export interface CacheEntry {
  readonly name: string;
  readonly path: string;
  readonly bytes: number;
  readonly files: number;
  readonly help: string;
}

/** Everything in a study folder that can be computed again. Results, samples and selections are not among them. */
const KINDS: readonly (readonly [name: string, path: readonly string[], help: string])[] = [
  ['references', ['cache', 'references'], 'what the unrepaired models say, for DPO and KL'],
  ['features', ['cache'], 'embeddings, gradient norms and other scores of records'],
  ['states', ['state'], 'interrupted repairs, which continue from here'],
  ['rounds', ['tune'], 'the smaller rounds of a tuning search'],
];

export async function cacheEntries(directory: string): Promise<CacheEntry[]> {
  const entries: CacheEntry[] = [];
  const counted = new Set<string>();
  for (const [name, path, help] of KINDS) {
    const folder = join(directory, ...path);
    const files = (await filesUnder(folder)).filter((f) => !counted.has(f.path));
    for (const f of files) counted.add(f.path);
    if (files.length > 0)
      entries.push({ name, path: folder, bytes: files.reduce((sum, f) => sum + f.bytes, 0), files: files.length, help });
  }
  return entries;
}

/** Files under a folder, links not counted. */
export async function folderSize(folder: string): Promise<{ readonly files: number; readonly bytes: number }> {
  const files = await filesUnder(folder);
  return { files: files.length, bytes: files.reduce((sum, f) => sum + f.bytes, 0) };
}

export async function clearCaches(directory: string): Promise<void> {
  for (const [, path] of KINDS) await rm(join(directory, ...path), { recursive: true, force: true });
}

async function filesUnder(folder: string): Promise<{ path: string; bytes: number }[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => []);
  return Promise.all(
    entries
      .filter((e) => e.isFile())
      .map(async (e) => {
        const path = join(e.parentPath, e.name);
        return { path, bytes: (await stat(path)).size };
      }),
  );
}
