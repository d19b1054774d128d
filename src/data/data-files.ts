import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { MendsetError } from '../core/errors.ts';
import { fileError, pathKind } from '../core/files.ts';
import type { RunOptions } from '../core/run-options.ts';
import { dataPath } from './hub/data-path.ts';

/**
 * The files that paths stand for: a file stands for itself, a folder for its files with one of the endings, sorted by the bytes of
 * their names; `hf:datasets/...` is fetched first. The order of `paths` is kept. Throws `not-found` for a missing path and `invalid-data` for a folder without such files.
 */
export async function dataFiles(
  paths: string | readonly string[],
  endings: readonly string[],
  options: RunOptions = {},
): Promise<string[]> {
  const files: string[] = [];
  const list = typeof paths === 'string' ? [paths] : paths;
  if (list.length === 0) throw new MendsetError('invalid-argument', 'Expected at least one data file but received none.');
  for (const given of list) {
    const path = await dataPath(given, options);
    const kind = await pathKind(path);
    if (kind === 'none') throw new MendsetError('not-found', `Expected a file or folder at '${path}' but there is none; check the path.`);
    if (kind === 'file') {
      files.push(path);
      continue;
    }
    let names: string[];
    try {
      names = await readdir(path);
    } catch (error) {
      throw fileError(error, path, 'read');
    }
    const wanted = names.filter((name) => endings.some((ending) => name.endsWith(ending)));
    wanted.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    if (wanted.length === 0) {
      throw new MendsetError(
        'invalid-data',
        `Expected files ending in ${endings.join(', ')} in the folder '${path}' but found none among ${names.length} entries.`,
      );
    }
    files.push(...wanted.map((name) => join(path, name)));
  }
  return files;
}

/** Refuses formats that are known and not read, by name. */
export function refuseOtherFormats(path: string): void {
  const ending = /\.(arrow|json|npz|pkl|pt|zip|zst|xz)$/i.exec(path)?.[1]?.toLowerCase();
  if (ending !== undefined) {
    throw new MendsetError(
      'unsupported',
      `'${path}' is a .${ending} file, which is not read; write it as JSON lines (.jsonl or .jsonl.gz), CSV, TSV or Parquet.`,
    );
  }
}
