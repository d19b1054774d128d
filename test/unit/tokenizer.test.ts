import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { splitPieces } from '../../src/tokenizer/byte-level.ts';
import { loadTokenizer } from '../../src/tokenizer/load.ts';
import type { Tokenizer } from '../../src/tokenizer/tokenizer.ts';

const golden = new URL('../golden/tokenizer/', import.meta.url);
const hint = 'regenerate with test/golden/tokenizer/make_tokenizer_golden.py';

let root: string;
const tokenizers: Partial<Record<'gpt2' | 'neox', Tokenizer>> = {};

async function unpack(name: string): Promise<string> {
  return gunzipSync(await readFile(new URL(name, golden))).toString('utf8');
}

async function folder(files: Record<string, unknown>): Promise<string> {
  const directory = await mkdtemp(join(root, 'case-'));
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(directory, name), typeof content === 'string' ? content : JSON.stringify(content));
  }
  return directory;
}

/** A vocabulary of the printable ASCII bytes, the space and what `more` names. */
function smallModel(more: string[], merges: unknown[], extra: object = {}): Record<string, unknown> {
  const symbols = [...Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i)), 'Ġ', ...more];
  return {
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    added_tokens: [],
    model: { type: 'BPE', vocab: Object.fromEntries(symbols.map((symbol, id) => [symbol, id])), merges },
    ...extra,
  };
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mendset-tokenizer-'));
  tokenizers.gpt2 = await loadTokenizer(
    await folder({ 'vocab.json': await unpack('gpt2-vocab.json.gz'), 'merges.txt': await unpack('gpt2-merges.txt.gz') }),
  );
  tokenizers.neox = await loadTokenizer(await folder({ 'tokenizer.json': await unpack('neox-tokenizer.json.gz') }));
});

afterAll(() => rm(root, { recursive: true, force: true }));

describe.each(['gpt2', 'neox'] as const)('%s against the Rust library', (name) => {
  test('ids and decoded text of the hard strings', async () => {
    const tokenizer = tokenizers[name] as Tokenizer;
    const lines = (await readFile(new URL(`${name}.jsonl`, golden), 'utf8')).trimEnd().split('\n');
    expect(lines).toHaveLength(47);
    lines.forEach((line, i) => {
      const row = JSON.parse(line) as { text: string; ids: number[]; decoded: string };
      expect([...tokenizer.encode(row.text)], `line ${i + 1}; ${hint}`).toEqual(row.ids);
      expect(tokenizer.decode(row.ids), `line ${i + 1}; ${hint}`).toBe(row.decoded);
    });
  });

  test('decoding what was encoded gives the text, composed where the tokenizer composes', () => {
    const tokenizer = tokenizers[name] as Tokenizer;
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), (text) => {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(name === 'neox' ? text.normalize('NFC') : text);
      }),
      { seed: 1 },
    );
  });

  test('a long word costs n log n and equals the scan of its parts', () => {
    const tokenizer = tokenizers[name] as Tokenizer;
    const text = 'ab'.repeat(100_000);
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });
});

test('sizes and end-of-text tokens', () => {
  expect(tokenizers.gpt2).toMatchObject({ vocabularySize: 50257, eos: 50256 });
  expect(tokenizers.neox).toMatchObject({ vocabularySize: 50277, eos: 0 });
  expect(tokenizers.neox?.hash).toBe('56ac4821e129d2c520fdaba60abd920fa852ada51b45c0dd52bbb6bd8c985ade');
});

test('merges as arrays, as strings and as merges.txt give the same ids', async () => {
  const json = JSON.parse(await unpack('neox-tokenizer.json.gz')) as { model: { merges: string[] | string[][] } };
  json.model.merges = (json.model.merges as string[]).map((merge) => merge.split(' '));
  const tokenizer = await loadTokenizer(await folder({ 'tokenizer.json': json }));
  const text = 'The quick brown fox, 1234567 times!\n\n   indeed';
  expect(tokenizer.encode(text)).toEqual(tokenizers.neox?.encode(text));
});

test('truncation and padding stored in the file are ignored unless asked for', async () => {
  const file = smallModel([], [], {
    truncation: { max_length: 2, strategy: 'LongestFirst', stride: 0 },
    padding: { strategy: { Fixed: 9 }, pad_id: 7 },
  });
  const tokenizer = await loadTokenizer(await folder({ 'tokenizer.json': file }));
  const [a, b, c] = tokenizer.encode('abc');
  expect(tokenizer.encode('abcdef')).toHaveLength(6);
  expect([...tokenizer.encode('abcdef', { maxLength: 'stored' })]).toEqual([a, b]);
  expect([...tokenizer.encode('abc', { maxLength: 3, padding: 'stored' })]).toEqual([a, b, c, 7, 7, 7, 7, 7, 7]);
  const left = {
    ...file,
    truncation: { max_length: 2, direction: 'Left' },
    padding: { strategy: { Fixed: 4 }, direction: 'Left', pad_id: 7 },
  };
  const turned = await loadTokenizer(await folder({ 'tokenizer.json': left }));
  expect([...turned.encode('abc', { maxLength: 'stored', padding: 'stored' })]).toEqual([7, 7, b, c]);
});

test('a prefix space is added to text without one, behind added tokens too', async () => {
  const file = smallModel(['Ġa', '<s>'], ['Ġ a'], {
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true },
    added_tokens: [{ id: 96, content: '<s>', special: true, normalized: false }],
  });
  expect([...(await loadTokenizer(await folder({ 'tokenizer.json': file }))).encode('a<s>a a')]).toEqual([95, 96, 95, 95]);
});

test('of added tokens the longest wins, and flags are obeyed', async () => {
  const added = (id: number, content: string, flags: object = {}): object => ({ id, content, special: false, normalized: true, ...flags });
  const file = smallModel([], [], {
    added_tokens: [
      added(200, '<a>'),
      added(201, '<a><a>'),
      added(202, 'word', { single_word: true }),
      added(203, '[x]', { lstrip: true, rstrip: true }),
    ],
  });
  const tokenizer = await loadTokenizer(await folder({ 'tokenizer.json': file }));
  expect([...tokenizer.encode('<a><a><a>')]).toEqual([201, 200]);
  expect([...tokenizer.encode('word')]).toEqual([202]);
  expect(tokenizer.encode('sword')).toHaveLength(5);
  expect([...tokenizer.encode('a  [x] b')]).toEqual([64, 203, 65]);
});

test('eos is what tokenizer_config.json names', async () => {
  const file = smallModel(['</s>'], []);
  expect((await loadTokenizer(await folder({ 'tokenizer.json': file }))).eos).toBeNull();
  expect(
    (await loadTokenizer(await folder({ 'tokenizer.json': file, 'tokenizer_config.json': { eos_token: { content: '</s>' } } }))).eos,
  ).toBe(95);
});

test('pieces of a text are the text, whatever its white space', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 100 }), (text) => {
      expect(splitPieces(text).join('')).toBe(text);
    }),
    { seed: 1 },
  );
});

test('bytes that the vocabulary lacks are left out, and unknown ids decode to nothing', async () => {
  const tokenizer = await loadTokenizer(await folder({ 'tokenizer.json': smallModel([], []) }));
  expect(tokenizer.decode(tokenizer.encode('aé\nb'))).toBe('ab');
  expect(tokenizer.decode([])).toBe('');
  expect(tokenizer.decode([64, 9999, -1])).toBe('a');
});

describe('errors name the file and the kind', () => {
  test.each([
    ['a missing folder', '/nonexistent/model', 'not-found', /no.*folder|there is none/],
    ['a WordPiece model without a vocabulary', { model: { type: 'WordPiece', vocab: {} } }, 'corrupt', /vocabulary.*empty/],
    ['a WordPiece model without its unknown token', { model: { type: 'WordPiece', vocab: { a: 0 } } }, 'corrupt', /"\[UNK\]"/],
    [
      'a model of no known kind',
      { ...smallModel([], []), model: { type: 'Oracle', vocab: { a: 0 } } },
      'unsupported',
      /Oracle.*@huggingface\/tokenizers/,
    ],
    ['an unknown normaliser', { ...smallModel([], []), normalizer: { type: 'Reverse' } }, 'unsupported', /Reverse normaliser/],
    ['pre-tokenisers that are no list', { ...smallModel([], []), pre_tokenizer: { type: 'Sequence' } }, 'corrupt', /`pretokenizers`/],
    ['a merge outside the vocabulary', smallModel([], ['a b']), 'corrupt', /merge 1/],
    ['a merge of three', smallModel([], ['a b c']), 'corrupt', /merge 1/],
    ['broken JSON', '{"model":', 'corrupt', /tokenizer\.json/],
    ['a list', '[]', 'corrupt', /a list/],
  ])('%s', async (_, content, code, message) => {
    const directory = content === '/nonexistent/model' ? content : await folder({ 'tokenizer.json': content });
    await expect(loadTokenizer(directory)).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string });
  });

  test('a folder without tokenizer files, unless it is optional', async () => {
    const directory = await folder({});
    await expect(loadTokenizer(directory)).rejects.toMatchObject({ code: 'not-found' });
    expect(await loadTokenizer(directory, { optional: true })).toBeNull();
  });
});
