import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import type { ProgressEvent } from '../../src/core/run-options.ts';
import { dataPath } from '../../src/data/hub/data-path.ts';
import type { FetchOptions } from '../../src/data/hub/fetch-snapshot.ts';
import { type HubEnvironment, hubEnvironment } from '../../src/data/hub/hub-environment.ts';
import { isPlainPath, parseHubName } from '../../src/data/hub/hub-name.ts';
import { modelFolder } from '../../src/data/hub/model-folder.ts';
import { commitOf, gitHash, type HubRepository, HubServer } from '../hub-server.ts';

const server = new HubServer();
let root: string;
let cache: string;

beforeAll(() => server.listen());
afterAll(() => server.close());
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'mendset-hub-'));
  cache = join(root, 'hub');
  server.reset();
  server.repositories.clear();
});
afterEach(() => rm(root, { recursive: true, force: true }));

const options = (change: Partial<HubEnvironment> = {}, more: Partial<FetchOptions> = {}): FetchOptions => ({
  environment: { endpoint: server.endpoint, token: null, cache, offline: false, ...change },
  retryMs: 1,
  ...more,
});

const weights = Buffer.alloc(200_000, 'weights ');
const tiny = (change: Partial<HubRepository> = {}): HubRepository => ({
  files: {
    'config.json': '{"a":1}',
    'tokenizer.json': '{}',
    'model.safetensors': weights,
    'pytorch_model.bin': 'pickle',
    'README.md': 'x',
  },
  large: ['model.safetensors'],
  ...change,
});
const add = (name: string, change: Partial<HubRepository> = {}): HubRepository => {
  const repository = tiny(change);
  server.repositories.set(name, repository);
  return repository;
};
const failure = (code: string, message: RegExp): object => ({ code, message: expect.stringMatching(message) as string });

describe('names', () => {
  test.each([
    ['hf:gpt2', { kind: 'model', repository: 'gpt2', revision: 'main', inside: null }],
    ['hf:EleutherAI/pythia-70m@step3000', { kind: 'model', repository: 'EleutherAI/pythia-70m', revision: 'step3000', inside: null }],
    ['hf:datasets/a/b', { kind: 'dataset', repository: 'a/b', revision: 'main', inside: null }],
    ['hf:datasets/a/b@v1.0/data/x.jsonl', { kind: 'dataset', repository: 'a/b', revision: 'v1.0', inside: 'data/x.jsonl' }],
    [
      'hf:datasets/a/b@refs/convert/parquet/x/0.parquet',
      { kind: 'dataset', repository: 'a/b', revision: 'refs/convert/parquet', inside: 'x/0.parquet' },
    ],
    ['hf:datasets/a/b/data/', { kind: 'dataset', repository: 'a/b', revision: 'main', inside: 'data' }],
  ])('%s', (name, expected) => expect(parseHubName(name)).toEqual(expected));

  test.each([
    'hf:',
    'hf:/',
    'hf:../x',
    'hf:a/..',
    'hf:a/b/c',
    'hf:a b/c',
    'hf:a/b@',
    'hf:a/b@../x',
    'hf:a/b@refs/../x',
    'hf:datasets/a',
    'hf:datasets/a/b/../c',
    'hf:datasets/a/b/x\\y',
    'hf:a--b/c',
  ])('%s is refused', (name) => expect(() => parseHubName(name)).toThrow(expect.objectContaining({ code: 'invalid-argument' }) as Error));

  test.each(['../x', '/x', 'a/../b', 'a//b', 'a\\b', 'c:x', '', '.', '..', 'a/..', 'a\u0000b'])('%j would leave a folder', (path) =>
    expect(isPlainPath(path)).toBe(false),
  );

  test('any other path stands for itself and asks nobody', async () => {
    expect(await modelFolder('models/gpt2', options())).toBe('models/gpt2');
    expect(await dataPath('data/x.jsonl', options())).toBe('data/x.jsonl');
    expect(server.requests).toEqual([]);
  });
});

test('variables of the environment', () => {
  expect(hubEnvironment({ HF_HOME: '/h', HF_TOKEN: ' t ', HF_ENDPOINT: 'https://m.example/', HF_HUB_OFFLINE: '1' })).toEqual({
    endpoint: 'https://m.example',
    token: 't',
    cache: join('/h', 'hub'),
    offline: true,
  });
  expect(hubEnvironment({ HF_HUB_CACHE: '/c', HF_HOME: '/h' }).cache).toBe('/c');
  expect(hubEnvironment({ HUGGINGFACE_HUB_CACHE: '/c' }).cache).toBe('/c');
  expect(hubEnvironment({ XDG_CACHE_HOME: '/x' }).cache).toBe(join('/x', 'huggingface', 'hub'));
  expect(hubEnvironment({})).toMatchObject({ endpoint: 'https://huggingface.co', token: null, offline: false });
  expect(() => hubEnvironment({ HF_ENDPOINT: 'file:///etc' })).toThrow(/http/);
  expect(() => hubEnvironment({ HF_ENDPOINT: 'nowhere' })).toThrow(/HF_ENDPOINT/);
});

describe('fetching a model', () => {
  test('into the layout that all tools share, without pickles', async () => {
    const commit = commitOf(add('o/m'));
    const folder = await modelFolder('hf:o/m', options());
    const store = join(cache, 'models--o--m');
    expect(folder).toBe(join(store, 'snapshots', commit));
    expect((await readdir(folder)).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
    expect(await readFile(join(folder, 'model.safetensors'))).toEqual(weights);
    expect(await readFile(join(store, 'refs', 'main'), 'utf8')).toBe(commit);
    expect((await lstat(join(folder, 'config.json'))).isSymbolicLink()).toBe(true);
    expect(await readlink(join(folder, 'config.json'))).toBe(join('..', '..', 'blobs', gitHash(Buffer.from('{"a":1}'))));
    expect((await readdir(join(store, 'blobs'))).every((name) => /^[0-9a-f]{40}([0-9a-f]{24})?$/.test(name))).toBe(true);
  });

  test('a second time asks for the commit and fetches nothing', async () => {
    add('o/m');
    const folder = await modelFolder('hf:o/m', options());
    server.reset();
    expect(await modelFolder('hf:o/m', options())).toBe(folder);
    expect(server.requests.filter((line) => line.startsWith('storage') || line.startsWith('GET /o'))).toEqual([]);
  });

  test('a commit that the cache holds asks nothing', async () => {
    const commit = commitOf(add('o/m'));
    await modelFolder(`hf:o/m@${commit}`, options());
    server.reset();
    await modelFolder(`hf:o/m@${commit}`, options());
    expect(server.requests).toEqual([]);
  });

  test('progress counts bytes of all files and names them', async () => {
    add('o/m');
    const events: ProgressEvent[] = [];
    await modelFolder('hf:o/m', options({}, { onProgress: (event) => events.push(event) }));
    const last = events.at(-1) as ProgressEvent;
    expect(last.phase).toBe('fetching o/m (MB)');
    expect(last.done).toBeCloseTo(last.total, 9);
    expect(last.total).toBeCloseTo((weights.length + 9) / 1e6, 9);
    expect(events.map((event) => event.detail)).toContain('model.safetensors');
  });

  test('sharded weights come with their index, and nothing else', async () => {
    const map = {
      weight_map: { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors', c: 'model-00001-of-00002.safetensors' },
    };
    const files = {
      'config.json': '{}',
      'model.safetensors.index.json': JSON.stringify(map),
      'model-00001-of-00002.safetensors': 'one',
      'model-00002-of-00002.safetensors': 'two',
      'other-00001-of-00002.safetensors': 'no',
    };
    add('o/s', { files, large: Object.keys(files).filter((name) => name.endsWith('.safetensors')) });
    const folder = await modelFolder('hf:o/s', options());
    expect((await readdir(folder)).length).toBe(4);
    expect(await readFile(join(folder, 'model-00002-of-00002.safetensors'), 'utf8')).toBe('two');
  });

  test('modules of a sentence encoder come along', async () => {
    const files = {
      'config.json': '{}',
      'modules.json': '[]',
      '1_Pooling/config.json': '{"p":1}',
      'model.safetensors': 'w',
      'onnx/model.onnx': 'x',
    };
    add('s/e', { files, large: [] });
    const folder = await modelFolder('hf:s/e', options());
    expect(await readFile(join(folder, '1_Pooling', 'config.json'), 'utf8')).toBe('{"p":1}');
    expect(await readdir(folder)).not.toContain('onnx');
  });

  test('for a tokenizer alone no weights are fetched', async () => {
    add('o/m');
    const folder = await modelFolder('hf:o/m', { ...options(), part: 'tokenizer' });
    expect((await readdir(folder)).sort()).toEqual(['config.json', 'tokenizer.json']);
  });
});

describe('interrupted transfers', () => {
  const blobs = (): string => join(cache, 'models--o--m', 'blobs');

  test('go on where they ended, within one call', async () => {
    add('o/m');
    server.cuts = 2;
    server.cutAt = 70_000;
    const folder = await modelFolder('hf:o/m', options());
    expect(await readFile(join(folder, 'model.safetensors'))).toEqual(weights);
    expect(server.ranges.filter((range) => range !== undefined)).toEqual(['bytes=70000-', 'bytes=140000-']);
  });

  test('and by a later call, with the part that stands on the disk', async () => {
    add('o/m');
    server.cuts = 1;
    server.cutAt = 50_000;
    const controller = new AbortController();
    const onProgress = ({ done, detail }: ProgressEvent): void => {
      if (detail === 'model.safetensors' && done > 0.04) controller.abort();
    };
    await expect(modelFolder('hf:o/m', options({}, { signal: controller.signal, onProgress }))).rejects.toMatchObject({ code: 'aborted' });
    const part = (await readdir(blobs())).filter((name) => name.endsWith('.incomplete'));
    expect(part).toHaveLength(1);
    const size = (await stat(join(blobs(), part[0] as string))).size;
    expect(size).toBeGreaterThan(0);
    server.reset();
    const folder = await modelFolder('hf:o/m', options());
    expect(server.ranges).toContain(`bytes=${size}-`);
    expect(await readFile(join(folder, 'model.safetensors'))).toEqual(weights);
    expect((await readdir(blobs())).some((name) => name.includes('incomplete'))).toBe(false);
  });

  test('begin anew where the server knows no ranges', async () => {
    add('o/m');
    server.noRanges = true;
    server.cuts = 1;
    server.cutAt = 1000;
    const folder = await modelFolder('hf:o/m', options());
    expect(await readFile(join(folder, 'model.safetensors'))).toEqual(weights);
  });

  test('without progress end with a sentence, and what came stays', async () => {
    add('o/m');
    server.cuts = 100;
    server.cutAt = 0;
    await expect(modelFolder('hf:o/m', options())).rejects.toMatchObject(failure('io', /ended after 0 of 7 bytes.*continues there/));
  });

  test('an abort while the server hangs', async () => {
    add('o/m');
    server.slow = true;
    const signal = AbortSignal.timeout(200);
    await expect(modelFolder('hf:o/m', options({}, { signal }))).rejects.toMatchObject({ code: 'aborted' });
  });

  test('a failing server is asked again, and then named', async () => {
    add('o/m');
    server.failures = 3;
    await modelFolder('hf:o/m', options());
    server.failures = 100;
    await expect(modelFolder('hf:o/m', options())).rejects.toMatchObject(failure('io', /fails \(status 503\)/));
  });

  test('nobody listens', async () => {
    await expect(modelFolder('hf:o/m', options({ endpoint: 'http://127.0.0.1:9' }))).rejects.toMatchObject(
      failure('io', /connection.*HF_HUB_OFFLINE/),
    );
  });
});

describe('contents are checked', () => {
  test.each([
    ['a large file', 'f'.repeat(64)],
    ['a file of the repository', 'e'.repeat(40)],
  ])('%s of another hash is thrown away', async (_, statedHash) => {
    add('o/m', { statedHash, large: statedHash.length === 64 ? ['config.json', 'tokenizer.json', 'model.safetensors'] : [] });
    await expect(modelFolder('hf:o/m', options())).rejects.toMatchObject(failure('corrupt', /hash/));
    expect(await readdir(join(cache, 'models--o--m', 'blobs'))).toEqual([]);
    await expect(readdir(join(cache, 'models--o--m', 'refs'))).rejects.toThrow();
  });

  test('a damaged part on the disk does not get the name', async () => {
    add('o/m');
    const hash = gitHash(Buffer.from('{"a":1}'));
    await mkdir(join(cache, 'models--o--m', 'blobs'), { recursive: true });
    await writeFile(join(cache, 'models--o--m', 'blobs', `${hash}.incomplete`), 'XX');
    await expect(modelFolder('hf:o/m', options())).rejects.toMatchObject({ code: 'corrupt' });
    expect(await modelFolder('hf:o/m', options())).toContain('snapshots');
  });

  test('a server that states no hash', async () => {
    add('o/m', { statedHash: 'abc' });
    await expect(modelFolder('hf:o/m', options())).rejects.toMatchObject(failure('unsupported', /could not be checked/));
  });

  test.each(['../evil.json', '/etc/passwd', 'a/../../b', '..\\evil'])('a list with %s is refused whole', async (name) => {
    add('o/m', { listed: [name] });
    await expect(modelFolder('hf:o/m', options())).rejects.toMatchObject(failure('corrupt', /leave its folder/));
    expect(server.requests).toHaveLength(1);
  });

  test('a commit or a shard that would leave the folder', async () => {
    add('o/m', { commit: '../../../../x' });
    await expect(modelFolder('hf:o/m', options())).rejects.toMatchObject(failure('corrupt', /a commit/));
    const index = JSON.stringify({ weight_map: { a: '../../evil.safetensors' } });
    add('o/s', { files: { 'config.json': '{}', 'model.safetensors.index.json': index } });
    await expect(modelFolder('hf:o/s', options())).rejects.toMatchObject(failure('corrupt', /leave the folder/));
  });
});

describe('tokens', () => {
  test('go to the endpoint and never to where it redirects', async () => {
    add('o/m', { gated: true });
    await modelFolder('hf:o/m', options({ token: 'good' }));
    expect(new Set(server.tokens.hub)).toEqual(new Set(['Bearer good']));
    expect(server.tokens.storage.length).toBeGreaterThan(0);
    expect(new Set(server.tokens.storage)).toEqual(new Set([undefined]));
  });

  test.each([
    ['gated, without a token', null, { gated: true }, 'invalid-argument', /gated.*HF_TOKEN/],
    ['gated, without access', 'other', { gated: true }, 'invalid-argument', /gated and the account of HF_TOKEN/],
    ['401', null, { status: 401 }, 'invalid-argument', /does not exist or is private \(status 401\)/],
    ['403 with a token', 't', { status: 403 }, 'invalid-argument', /token in HF_TOKEN \(status 403\)/],
    ['404', null, { status: 404 }, 'not-found', /does not exist/],
    ['429', null, { status: 429 }, 'io', /too many requests/],
    ['418', null, { status: 418 }, 'io', /status 418/],
    ['a redirect to itself', null, { status: 307 }, 'io', /redirected more than/],
  ] as const)('%s', async (_, token, change, code, message) => {
    add('o/m', change);
    await expect(modelFolder('hf:o/m', options({ token }))).rejects.toMatchObject(failure(code, message));
  });

  test('a repository, a revision and weights that are not there', async () => {
    await expect(modelFolder('hf:o/none', options())).rejects.toMatchObject(failure('not-found', /hf:o\/none does not exist/));
    add('o/m');
    await expect(modelFolder('hf:o/m@v9', options())).rejects.toMatchObject(failure('not-found', /no revision 'v9'/));
    add('o/p', { files: { 'config.json': '{}', 'pytorch_model.bin': 'x' } });
    await expect(modelFolder('hf:o/p', options())).rejects.toMatchObject(failure('unsupported', /pytorch_model\.bin.*convert/));
    add('o/d', { files: { 'README.md': 'x' } });
    await expect(modelFolder('hf:o/d', options())).rejects.toMatchObject(failure('not-found', /config\.json/));
    await expect(modelFolder('hf:datasets/o/d', options())).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});

describe('offline', () => {
  test('what the cache holds is used, and nobody is asked', async () => {
    add('o/m');
    const folder = await modelFolder('hf:o/m', options());
    server.reset();
    expect(await modelFolder('hf:o/m', options({ offline: true }))).toBe(folder);
    expect(server.requests).toEqual([]);
  });

  test('what it lacks is named', async () => {
    add('o/m');
    await expect(modelFolder('hf:o/m', options({ offline: true }))).rejects.toMatchObject(failure('not-found', /HF_HUB_OFFLINE/));
    const folder = await modelFolder('hf:o/m', { ...options(), part: 'tokenizer' });
    expect(folder).toContain('snapshots');
    await expect(modelFolder('hf:o/m', options({ offline: true }))).rejects.toMatchObject(
      failure('not-found', /model\.safetensors missing/),
    );
    expect(server.requests.some((line) => line.startsWith('storage'))).toBe(false);
  });
});

describe('two at once', () => {
  test('fetch a blob once', async () => {
    add('o/m');
    const folders = await Promise.all([modelFolder('hf:o/m', options()), modelFolder('hf:o/m', options())]);
    expect(folders[0]).toBe(folders[1]);
    expect(server.requests.filter((line) => line === 'storage GET model.safetensors')).toHaveLength(1);
  });

  test('a lock whose holder is gone is taken over', async () => {
    add('o/m');
    const blobs = join(cache, 'models--o--m', 'blobs');
    await mkdir(blobs, { recursive: true });
    const lock = join(blobs, `${gitHash(Buffer.from('{"a":1}'))}.incomplete.lock`);
    await writeFile(lock, 'gone');
    await utimes(lock, new Date(0), new Date(0));
    expect(await modelFolder('hf:o/m', options())).toContain('snapshots');
    await expect(stat(lock)).rejects.toThrow();
  });
});

describe('data sets', () => {
  const files = {
    'README.md': 'x',
    'data/train.jsonl': '{"text":"a"}\n',
    'data/test.jsonl': '{"text":"b"}\n',
    'data/deep/more.jsonl': '{}',
  };

  test('a file, a folder, the only file', async () => {
    server.repositories.set('datasets/o/d', { files });
    const file = await dataPath('hf:datasets/o/d/data/test.jsonl', options());
    expect(await readFile(file, 'utf8')).toBe('{"text":"b"}\n');
    expect(file).toContain('datasets--o--d');
    expect((await readdir(await dataPath('hf:datasets/o/d/data', options()))).sort()).toEqual(['test.jsonl', 'train.jsonl']);
    server.repositories.set('datasets/o/one', { files: { 'x.csv': 'a,b\n', 'README.md': 'x' } });
    expect(await readFile(await dataPath('hf:datasets/o/one', options()), 'utf8')).toBe('a,b\n');
    server.reset();
    expect(await dataPath('hf:datasets/o/d/data/test.jsonl', options({ offline: true }))).toBe(file);
    expect(await dataPath('hf:datasets/o/one', options({ offline: true }))).toMatch(/x\.csv$/);
    expect(server.requests).toEqual([]);
  });

  test('several files ask for a name', async () => {
    server.repositories.set('datasets/o/d', { files });
    await expect(dataPath('hf:datasets/o/d', options())).rejects.toMatchObject(
      failure('invalid-argument', /data\/train\.jsonl, data\/test\.jsonl/),
    );
    await expect(dataPath('hf:datasets/o/d/none', options())).rejects.toMatchObject(failure('not-found', /'none'/));
    await expect(dataPath('hf:o/d', options())).rejects.toMatchObject(failure('invalid-argument', /names a model/));
  });
});
