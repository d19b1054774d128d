import { mkdir, open, readdir, readFile, truncate } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { MendsetError } from '../core/errors.ts';
import { writeFileAtomic } from '../core/files.ts';
import type { CellResult } from './cell-result.ts';

/** `results.jsonl`, or `results-2-of-8.jsonl` for a process that computes the second of eight shares. */
export function resultsFileName(share: { index: number; of: number }): string {
  return share.of === 1 ? 'results.jsonl' : `results-${share.index}-of-${share.of}.jsonl`;
}

/**
 * Appends one line and returns once it is on the disk. A line that an earlier crash left without its end is cut off first, so the
 * file never holds a broken line in the middle.
 */
export async function appendResult(path: string, result: CellResult): Promise<void> {
  await appendLine(path, JSON.stringify(result));
}

export async function appendLine(path: string, line: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await cutTornLine(path);
  const file = await open(path, 'a');
  try {
    await file.appendFile(`${line}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function cutTornLine(path: string): Promise<void> {
  const text = await readFile(path).catch(() => null);
  if (text === null || text.length === 0 || text.at(-1) === 0x0a) return;
  await truncate(path, text.lastIndexOf(0x0a) + 1);
}

/**
 * Every cell of a study folder, in the order of their first lines; a later line of the same cell (a retry after a failure) wins.
 * A torn last line is ignored: its cell counts as not computed. Rejects with `corrupt` for a broken line elsewhere.
 */
export async function readResults(directory: string): Promise<CellResult[]> {
  const names = (await readdir(directory).catch(() => [])).filter((n) => /^results(-\d+-of-\d+)?\.jsonl$/.test(n)).sort();
  const cells = new Map<string, CellResult>();
  for (const name of names) {
    const path = join(directory, name);
    const lines = (await readFile(path, 'utf8')).split('\n');
    lines.forEach((line, i) => {
      if (line.trim() === '' || i === lines.length - 1) return;
      const cell = parseLine(line, `${path}:${i + 1}`);
      const before = cells.get(cell.key);
      if (before === undefined || before.status === 'failed') cells.set(cell.key, cell);
    });
  }
  return [...cells.values()];
}

/**
 * Puts the lines of a finished share into the order of its cells, one line each, so that the file does not tell in which order or
 * how often they were computed. Written beside and renamed; nothing happens where the order is right already.
 */
export async function settleResults(path: string, keys: readonly string[], results: ReadonlyMap<string, CellResult>): Promise<void> {
  const text = await readFile(path, 'utf8').catch(() => null);
  if (text === null) return;
  const own = new Set(text.split('\n').flatMap((line, i) => (line === '' ? [] : [parseLine(line, `${path}:${i + 1}`).key])));
  // a run of some cells alone leaves the others where they are: behind
  const order = [...new Set([...keys.filter((key) => own.has(key)), ...own])];
  const lines = order.map((key) => `${JSON.stringify(results.get(key))}\n`);
  const wanted = lines.join('');
  if (wanted !== text) await writeFileAtomic(path, wanted);
}

function parseLine(line: string, where: string): CellResult {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new MendsetError(
      'corrupt',
      `Expected one JSON object in ${where} but the line does not parse; delete that line and run the study again.`,
      { cause },
    );
  }
  if (typeof value === 'object' && value !== null && 'key' in value && 'figures' in value && (value as { schema?: unknown }).schema === 1) {
    return value as CellResult;
  }
  throw new MendsetError('corrupt', `Expected a result of schema 1 in ${where}; the file was not written by this version of mendset.`);
}
