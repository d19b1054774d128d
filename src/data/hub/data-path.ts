import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { MendsetError } from '../../core/errors.ts';
import { pathKind } from '../../core/files.ts';
import { type FetchOptions, fetchSnapshot, type Wanted } from './fetch-snapshot.ts';
import { isHubName, parseHubName } from './hub-name.ts';

/** Data formats that are read. */
const data = /\.(jsonl|json|csv|tsv|parquet|txt|raw)(\.gz)?$/i;

/**
 * The file or folder that data are named by: a path stands for itself, `hf:datasets/owner/name[@revision][/file]` for what was
 * fetched into the cache of the Hub. Without a file the data set must hold exactly one; a folder stands for the data files in it.
 */
export async function dataPath(path: string, options: FetchOptions = {}): Promise<string> {
  if (!isHubName(path)) return path;
  const { kind, inside } = parseHubName(path);
  if (kind === 'model')
    throw new MendsetError('invalid-argument', `Expected data but '${path}' names a model; write hf:datasets/owner/name[/file].`);
  let chosen = inside;
  const wanted: Wanted = {
    choose(files, repository) {
      const known = files.filter((file) => data.test(file));
      if (inside === null) {
        if (known.length !== 1) {
          const list =
            known.length === 0 ? 'none' : `${known.slice(0, 8).join(', ')}${known.length > 8 ? `, ... (${known.length} in all)` : ''}`;
          throw new MendsetError(
            'invalid-argument',
            `Expected a file of ${repository}, as in hf:datasets/owner/name/FILE, because it holds not one data file but ${list}.`,
          );
        }
        chosen = known[0] as string;
        return known;
      }
      if (files.includes(inside)) return [inside];
      const within = known.filter((file) => file.startsWith(`${inside}/`) && !file.slice(inside.length + 1).includes('/'));
      if (within.length === 0)
        throw new MendsetError(
          'not-found',
          `Expected '${inside}' in ${repository} but there is no such file or folder of data; it holds ${known.slice(0, 8).join(', ') || 'no data files'}.`,
        );
      return within;
    },
    async missing(folder) {
      if (inside !== null) return (await pathKind(join(folder, inside))) === 'none' ? [inside] : [];
      const known = await dataFilesIn(folder);
      if (known.length === 1) chosen = known[0] as string;
      return known.length === 1 ? [] : [`${known.length} data files instead of one`];
    },
  };
  const folder = await fetchSnapshot(path, wanted, options);
  return join(folder, chosen ?? '');
}

async function dataFilesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  return names.filter((name) => data.test(name)).map((name) => name.replaceAll('\\', '/'));
}
