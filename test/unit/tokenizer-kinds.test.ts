import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import { Tokenizer as Library } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { loadTokenizer } from '../../src/tokenizer/load.ts';
import { translate } from '../../src/tokenizer/regular-expression.ts';
import type { Tokenizer } from '../../src/tokenizer/tokenizer.ts';

interface Kind {
  readonly name: string;
  readonly tokenizer: { readonly model: { readonly vocab: Record<string, number>; readonly merges?: string[][] } };
  readonly rows: readonly { readonly text: string; readonly ids: number[]; readonly special: number[]; readonly decoded: string }[];
}

const hint = 'regenerate with test/golden/tokenizer/make_kinds_golden.py';
const packed = await readFile(new URL('../golden/tokenizer/kinds.jsonl.gz', import.meta.url));
const kinds = gunzipSync(packed)
  .toString('utf8')
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line) as Kind);
const kindOf = (name: string): Kind => kinds.find((kind) => kind.name === name) as Kind;

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mendset-kinds-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function load(files: Record<string, unknown>): Promise<Tokenizer> {
  const directory = await mkdtemp(join(root, 'case-'));
  for (const [name, content] of Object.entries(files))
    await writeFile(join(directory, name), typeof content === 'string' ? content : JSON.stringify(content));
  return loadTokenizer(directory);
}

describe.each(kinds)('$name against the Rust library', ({ tokenizer: json, rows }) => {
  test('ids, ids with special tokens and decoded text of hard strings', async () => {
    const tokenizer = await load({ 'tokenizer.json': json });
    expect(tokenizer.kind).not.toContain('@huggingface');
    expect(rows.length).toBeGreaterThan(80);
    for (const { text, ids, special, decoded } of rows) {
      expect([...tokenizer.encode(text)], `${JSON.stringify(text)}; ${hint}`).toEqual(ids);
      expect([...tokenizer.encode(text, { specials: true })], `${JSON.stringify(text)}; ${hint}`).toEqual(special);
      expect(tokenizer.decode(ids), `${JSON.stringify(text)}; ${hint}`).toBe(decoded);
    }
  });
});

// The library's own mistakes: white space beside U+0085 and U+FEFF, case folding of the long s, marks that are no letters
const plainText = fc.stringMatching(/^[ -~\n\u00a0-\u024f\u0391-\u03c9\u4e00-\u4eff\u{1f600}-\u{1f64f}]{0,80}$/u);

test.each(['llama3', 'qwen', 'llama2', 'mistral', 'bert-uncased', 'bert-cased'])('%s agrees with @huggingface/tokenizers', async (name) => {
  const json = kindOf(name).tokenizer;
  const tokenizer = await load({ 'tokenizer.json': json });
  const library = new Library({ ...json, truncation: null, padding: null }, {});
  fc.assert(
    fc.property(plainText, (text) => {
      const theirs = text === '' ? [] : library.encode(text, { add_special_tokens: false }).ids;
      expect([...tokenizer.encode(text)]).toEqual(theirs);
    }),
    { seed: 1, numRuns: 200 },
  );
});

test.each(kinds)('$name takes a lone surrogate for U+FFFD', async ({ tokenizer: json }) => {
  const tokenizer = await load({ 'tokenizer.json': json });
  for (const text of ['a\ud800b', '\udfff', 'x \udc00\ud800 y', '\ud83d']) {
    expect(tokenizer.encode(text)).toEqual(tokenizer.encode(text.replace(/\p{Surrogate}/gu, '\ufffd')));
  }
});

test('a long text of marked words costs what its words cost, with the ids of one long word', async () => {
  const { tokenizer: json } = kindOf('llama2');
  const crossing = structuredClone(json);
  // A token with a mark inside forbids cutting at the marks, and no merge makes it
  crossing.model.vocab['z▁z'] = 950;
  const text = 'She sells sea shells by the sea shore, 日本 unknown \u0007 '.repeat(40);
  expect((await load({ 'tokenizer.json': json })).encode(text)).toEqual((await load({ 'tokenizer.json': crossing })).encode(text));
});

describe('special tokens and lengths', () => {
  test('as a language model reads it, a text has the tokens before it and none behind', async () => {
    for (const [name, before] of [
      ['llama2', 1],
      ['llama3', 1],
      ['bert-uncased', 1],
      ['qwen', 0],
    ] as const) {
      const { tokenizer: json, rows } = kindOf(name);
      const tokenizer = await load({ 'tokenizer.json': json });
      for (const { text, ids, special } of rows)
        expect([...tokenizer.encode(text, { specials: 'before' })], name).toEqual(special.slice(0, before + ids.length));
    }
  });
  test('what is cut is the text, and the tokens around it stay', async () => {
    const tokenizer = await load({ 'tokenizer.json': kindOf('bert-uncased').tokenizer });
    const whole = [...tokenizer.encode('the pool of examples', { specials: true })];
    expect(whole[0]).toBe(2);
    expect(whole.at(-1)).toBe(3);
    expect([...tokenizer.encode('the pool of examples', { specials: true, maxLength: 4 })]).toEqual([...whole.slice(0, 3), 3]);
    expect([...tokenizer.encode('the pool of examples', { specials: true, maxLength: 2 })]).toEqual([2, 3]);
    expect(() => tokenizer.encode('x', { specials: true, maxLength: 1 })).toThrow(/2 special tokens/);
    // The file stores 8 and 16
    expect(tokenizer.encode('the pool of examples is left as it was', { specials: true, maxLength: 'stored' })).toHaveLength(8);
    expect(tokenizer.encode('the pool', { specials: true, padding: 'stored' })).toHaveLength(16);
  });
});

describe('files from before tokenizer.json', () => {
  test('vocab.txt is the WordPiece of the same vocabulary', async () => {
    const { tokenizer: json, rows } = kindOf('bert-uncased');
    const lines = Object.entries(json.model.vocab).sort((a, b) => a[1] - b[1]);
    const text = `${lines.map(([token]) => token).join('\n')}\n`;
    const lower = await load({ 'vocab.txt': text });
    for (const { text: row, special } of rows) expect([...lower.encode(row, { specials: true })]).toEqual(special);
    const cased = await load({ 'vocab.txt': text, 'tokenizer_config.json': { do_lower_case: false } });
    expect(cased.encode('THE')).not.toEqual(lower.encode('THE'));
    expect(cased.hash).not.toBe(lower.hash);
  });

  test('vocab.json and merges.txt of a RoBERTa surround a text, those of a GPT-2 do not', async () => {
    const { tokenizer: json, rows } = kindOf('roberta');
    const files = {
      'vocab.json': { ...json.model.vocab, '<mask>': 587 },
      'merges.txt': `#version: 0.2\n${(json.model.merges ?? []).map((pair) => pair.join(' ')).join('\n')}\n`,
    };
    const roberta = await load({ ...files, 'config.json': { model_type: 'roberta' } });
    for (const { text, special } of rows) expect([...roberta.encode(text, { specials: true })]).toEqual(special);
    expect([...(await load(files)).encode('a b', { specials: true })]).toEqual([...roberta.encode('a b')]);
  });
});

describe('kinds without an implementation here', () => {
  const unigram = {
    version: '1.0',
    added_tokens: [{ id: 0, content: '<unk>', special: true, normalized: false }],
    normalizer: null,
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
    post_processor: null,
    decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
    model: {
      type: 'Unigram',
      unk_id: 0,
      vocab: [
        ['<unk>', 0],
        ['▁a', -1],
        ['▁b', -1.5],
        ['b', -2],
        ['a', -2.5],
        ['▁', -3],
      ],
      byte_fallback: false,
    },
  };

  test('Unigram is run by the library, and its kind says so', async () => {
    const tokenizer = await load({ 'tokenizer.json': { ...unigram, truncation: { max_length: 1 } } });
    expect(tokenizer.kind).toBe('@huggingface/tokenizers (Unigram)');
    expect([...tokenizer.encode('a b ab')]).toEqual([1, 2, 1, 3]);
    expect([...tokenizer.encode('')]).toEqual([]);
    expect(tokenizer.decode([1, 2])).toBe('a b');
    expect(tokenizer.decode([])).toBe('');
    expect(tokenizer.encode('a b ab', { maxLength: 'stored' })).toHaveLength(1);
  });
});

test('patterns of Oniguruma are translated, or refused where JavaScript has no equal', () => {
  const matches = (pattern: string, text: string): string[] => text.match(new RegExp(translate(pattern), 'gu')) ?? [];
  expect(matches("(?i:'s|'ll)", "'S 'ſ 'lL 's")).toEqual(["'S", "'ſ", "'lL", "'s"]);
  expect(matches('[^\\s\\p{L}]+', 'a\u0085! \ufeff')).toEqual(['!', '\ufeff']);
  expect(matches('\\S+', 'a\ufeff b')).toEqual(['a\ufeff', 'b']);
  expect(matches('\\d', '1٣½')).toEqual(['1', '٣']);
  expect(matches('.+', 'a\rb\nc')).toEqual(['a\rb', 'c']);
  expect(matches('a$', 'a\nba')).toEqual(['a', 'a']);
  expect(matches('\\p{Han}+', '日本 go')).toEqual(['日本']);
  for (const pattern of ['a++', '(?>a)', '[a&&b]', '[[:alpha:]]', '^a', '\\h', '(?i)a', '(?i:[a-z])'])
    expect(() => translate(pattern), pattern).toThrow();
});
