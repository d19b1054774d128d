import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { MendsetError } from '../../core/errors.ts';
import type { RunOptions } from '../../core/run-options.ts';
import { downloadBlob, type HubFile } from './download-blob.ts';
import { HubCache, isCommit } from './hub-cache.ts';
import { type HubEnvironment, hubEnvironment } from './hub-environment.ts';
import { isPlainPath, parseHubName } from './hub-name.ts';
import { describe, type HubRequest, hubRequest } from './hub-request.ts';

export interface FetchOptions extends RunOptions {
  /** Default: the process's environment variables */
  readonly environment?: HubEnvironment | undefined;
  /** Before the second attempt of a failed request; default 1000 */
  readonly retryMs?: number | undefined;
}

/** Which files of a repository are wanted. */
export interface Wanted {
  /** The files to fetch of all there are; throws where what is needed is not among them */
  choose(files: readonly string[], repository: string): readonly string[];
  /** Files that fetched ones name, such as the shards of an index; their contents are in `folder` */
  more?(folder: string, files: readonly string[]): Promise<readonly string[]>;
  /** The wanted files that a folder of the cache lacks */
  missing(folder: string): Promise<readonly string[]>;
}

/**
 * Brings what is wanted of `hf:...` into the cache and returns the snapshot's folder. Branches and tags are asked for each time; a
 * commit that the cache holds is not. With HF_HUB_OFFLINE nothing is asked.
 * Rejects with `invalid-argument` (name, token), `not-found`, `corrupt` (hash), `unsupported`, `io`, `aborted`; what was transferred stays and is
 * continued by the next call.
 */
export async function fetchSnapshot(hubName: string, wanted: Wanted, options: FetchOptions = {}): Promise<string> {
  const name = parseHubName(hubName);
  const environment = options.environment ?? hubEnvironment();
  const request: HubRequest = { name, environment, signal: options.signal, retryMs: options.retryMs ?? 1000 };
  const cache = new HubCache(environment.cache, name);
  if (environment.offline || isCommit(name.revision)) {
    const commit = await cache.commit(name.revision);
    const missing = commit === null ? null : await wanted.missing(cache.snapshot(commit));
    if (commit !== null && missing?.length === 0) return cache.snapshot(commit);
    if (environment.offline) {
      const lacks = missing === null ? '' : ` in full (${missing.slice(0, 4).join(', ')}${missing.length > 4 ? ', ...' : ''} missing)`;
      throw new MendsetError(
        'not-found',
        `Expected ${describe(request, 'the repository')} in the cache at ${environment.cache} but it is not there${lacks}, and HF_HUB_OFFLINE forbids fetching it.`,
      );
    }
  }
  const { commit, files } = await listFiles(request);
  const chosen = await wanted.choose(files, describe(request, 'the repository'));
  const folder = cache.snapshot(commit);
  await fetchFiles(request, cache, commit, chosen, options);
  const more = ((await wanted.more?.(folder, files)) ?? []).filter((file) => !chosen.includes(file));
  if (more.length > 0) await fetchFiles(request, cache, commit, more, options);
  await cache.setCommit(name.revision, commit);
  return folder;
}

/** Address of the repository's pages and files. */
function repositoryUrl({ name, environment }: HubRequest, api: boolean): string {
  const place = api ? `api/${name.kind}s/` : name.kind === 'dataset' ? 'datasets/' : '';
  return `${environment.endpoint}/${place}${name.repository}`;
}

/** The commit a revision stands at and the names of its files. Names that would leave a folder are refused. */
async function listFiles(request: HubRequest): Promise<{ commit: string; files: string[] }> {
  const url = `${repositoryUrl(request, true)}/revision/${encodeURIComponent(request.name.revision)}`;
  const response = await hubRequest(request, url, { what: 'the repository' });
  const broken = (what: string): MendsetError =>
    new MendsetError(
      'corrupt',
      `Expected ${what} from ${request.environment.endpoint} for ${describe(request, 'the repository')} but received something else; is HF_ENDPOINT a Hub?`,
    );
  let answer: { sha?: unknown; siblings?: unknown };
  try {
    answer = (await response.json()) as typeof answer;
  } catch (error) {
    if (request.signal?.aborted) throw error;
    throw broken('a description in JSON');
  }
  if (typeof answer?.sha !== 'string' || !isCommit(answer.sha)) throw broken('a commit');
  if (!Array.isArray(answer.siblings)) throw broken('a list of files');
  const files = (answer.siblings as ({ rfilename?: unknown } | null)[]).map((entry) => entry?.rfilename);
  for (const file of files) {
    if (typeof file !== 'string') throw broken('a list of file names');
    if (!isPlainPath(file)) {
      throw new MendsetError(
        'corrupt',
        `${describe(request, 'the repository')} lists the file ${JSON.stringify(file)}, which would leave its folder; nothing of it was fetched.`,
      );
    }
  }
  return { commit: answer.sha, files: files as string[] };
}

async function fetchFiles(
  request: HubRequest,
  cache: HubCache,
  commit: string,
  names: readonly string[],
  options: FetchOptions,
): Promise<void> {
  const files: HubFile[] = [];
  for (const name of names) files.push(await describeFile(request, commit, name));
  const total = files.reduce((sum, file) => sum + file.bytes, 0);
  let before = 0;
  for (const file of files) {
    await downloadBlob(request, file, cache.blob(file.hash), (bytes) =>
      options.onProgress?.({
        phase: `fetching ${request.name.repository} (MB)`,
        done: (before + bytes) / 1e6,
        total: total / 1e6,
        detail: file.name,
      }),
    );
    before += file.bytes;
    await cache.link(commit, file.name, file.hash);
  }
}

/** Hash and size of a file, as the server states them: for a large file in the redirect to where it is stored. */
async function describeFile(request: HubRequest, commit: string, name: string): Promise<HubFile> {
  const path = name.split('/').map(encodeURIComponent).join('/');
  const url = `${repositoryUrl(request, false)}/resolve/${commit}/${path}`;
  const response = await hubRequest(request, url, { method: 'HEAD', what: name, stopAtOtherHost: true });
  const stated = (header: string): string | null => response.headers.get(header);
  const hash = (stated('x-linked-etag') ?? stated('etag') ?? '').replace(/^W\//, '').replaceAll('"', '').toLowerCase();
  const length = stated('x-linked-size') ?? stated('content-length');
  const bytes = length === null ? Number.NaN : Number(length);
  if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(hash) || !Number.isSafeInteger(bytes) || bytes < 0) {
    throw new MendsetError(
      'unsupported',
      `Expected hash and size of ${describe(request, name)} from ${request.environment.endpoint} but it states none, so the file could not be checked; use another HF_ENDPOINT.`,
    );
  }
  const at = stated('x-repo-commit');
  if (at !== null && at !== commit)
    throw new MendsetError(
      'corrupt',
      `Expected ${describe(request, name)} at commit ${commit} but the server answers for ${at}; try again.`,
    );
  return { name, url, hash, bytes };
}

/** Whether a file of the cache is there with its content: a link without its blob is not. */
export async function isThere(folder: string, file: string): Promise<boolean> {
  return (await stat(join(folder, file)).catch(() => null))?.isFile() === true;
}

/** The distinct shards that a weight index names, each a plain name in the index's own folder. */
export async function shardsOf(folder: string, index: string): Promise<string[]> {
  let map: unknown;
  try {
    map = (JSON.parse(await readFile(join(folder, index), 'utf8')) as { weight_map?: unknown } | null)?.weight_map;
  } catch (error) {
    throw new MendsetError(
      'corrupt',
      `Expected a weight index in '${join(folder, index)}' but it does not parse (${(error as Error).message}).`,
      { cause: error },
    );
  }
  const shards = typeof map === 'object' && map !== null ? [...new Set(Object.values(map))] : [];
  if (shards.length === 0) throw new MendsetError('corrupt', `Expected a weight_map in '${join(folder, index)}' but there is none.`);
  const parent = index.slice(0, index.lastIndexOf('/') + 1);
  return shards.map((shard) => {
    if (typeof shard === 'string' && isPlainPath(shard) && !shard.includes('/')) return parent + shard;
    throw new MendsetError(
      'corrupt',
      `Expected plain file names in '${join(folder, index)}' but found ${JSON.stringify(shard)}; it would leave the folder.`,
    );
  });
}
