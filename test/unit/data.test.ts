import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { MendsetError } from '../../src/core/errors.ts';
import { ensureWritableDirectory, writeFileAtomic } from '../../src/core/files.ts';
import { sha256File, sha256Files, sha256Hex } from '../../src/core/hash.ts';
import { PythonRandom } from '../../src/core/random.ts';
import { buildPool } from '../../src/data/build-pool.ts';
import { readPairs } from '../../src/data/read-pairs.ts';
import { readPrompts } from '../../src/data/read-prompts.ts';
import { readLambada, readTextRows, readTexts } from '../../src/data/read-texts.ts';
import type { PairRecord } from '../../src/data/record.ts';

let root: string;
let count = 0;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mendset-data-'));
});

afterAll(() => rm(root, { recursive: true, force: true }));

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const directory = join(root, `case-${count++}`);
  await mkdir(directory);
  await writeFile(join(directory, name), content);
  return join(directory, name);
}

function jsonl(...rows: unknown[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('');
}

async function caught(promise: Promise<unknown>): Promise<MendsetError> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(MendsetError);
  return error as MendsetError;
}

describe('readPairs', () => {
  test('dpo_toxic rows: fields, gold, no end-of-text token, hash of the raw line', async () => {
    const row = { prompt_text: 'P', unpert_gen_text: ' good', pert_gen_text: ' bad', gold_text: ' real', id: 'x1' };
    const set = await readPairs(await file('a.jsonl', jsonl(row)));
    expect(set.appendEos).toBe(false);
    expect(set.records[0]).toMatchObject({
      id: 'x1',
      prompt: 'P',
      chosen: ' good',
      rejected: ' bad',
      gold: ' real',
      hash: sha256Hex(JSON.stringify(row)),
      raw: JSON.stringify(row),
    });
    expect(set.records[0]?.source).toMatch(/a\.jsonl:1$/);
  });

  test('TRL rows: preference, prompt and completion, text alone', async () => {
    const set = await readPairs(
      await file(
        'a.jsonl',
        jsonl(
          { prompt: 'P', chosen: ' c', rejected: ' r', toxicity: 0.5, scores: { insult: 0.25, threat: null } },
          { prompt: 'Q', completion: ' d' },
          { text: 'T' },
        ),
      ),
    );
    expect(set.appendEos).toBe(true);
    expect(set.records.map(({ prompt, chosen, rejected }) => [prompt, chosen, rejected])).toEqual([
      ['P', ' c', ' r'],
      ['Q', ' d', null],
      ['', 'T', null],
    ]);
    expect(set.records[0]?.scores).toEqual({ insult: 0.25, toxicity: 0.5 });
    expect(set.records[0]?.id).toBe(set.records[0]?.hash.slice(0, 16));
  });

  test('implicit prompts: the common beginning, its space with the completions, no half characters', async () => {
    const set = await readPairs(
      await file(
        'a.jsonl',
        jsonl({ chosen: 'You are kind', rejected: 'You are mean' }, { chosen: 'a 😀', rejected: 'a 😁' }, { chosen: 'x', rejected: 'y' }),
      ),
    );
    expect(set.records.map(({ prompt, chosen, rejected }) => [prompt, chosen, rejected])).toEqual([
      ['You are', ' kind', ' mean'],
      ['a', ' 😀', ' 😁'],
      ['', 'x', 'y'],
    ]);
  });

  test('token ids', async () => {
    const set = await readPairs(
      await file('a.jsonl', jsonl({ prompt_ids: [1, 2], completion_ids: [3] }, { chosen_ids: [4], rejected_ids: [5, 6] })),
    );
    expect(set.appendEos).toBe(false);
    expect(set.records[0]).toMatchObject({ promptIds: [1, 2], chosenIds: [3], rejected: null });
    expect(set.records[1]).toMatchObject({ promptIds: [], chosenIds: [4], rejectedIds: [5, 6] });
  });

  test('ParaDetox: quoted line breaks, first neutral or all of them', async () => {
    const path = await file('p.tsv', 'toxic\tneutral1\tneutral2\tneutral3\nt one\tn one\t\t\n"t\ntwo"\tn two\t"n ""three"""\t\n');
    const first = await readPairs(path);
    expect(first.records.map(({ chosen, rejected }) => [chosen, rejected])).toEqual([
      ['n one', 't one'],
      ['n two', 't\ntwo'],
    ]);
    expect(first.appendEos).toBe(true);
    const all = await readPairs(path, { expand: true });
    expect(all.records.map((record) => record.chosen)).toEqual(['n one', 'n two', 'n "three"']);
    expect(all.records[1]?.groupId).toBe(all.records[2]?.groupId);
    expect(all.records[0]?.groupId).not.toBe(all.records[1]?.groupId);
  });

  test('a folder is read in the byte order of its names, gzip included; a list keeps its order', async () => {
    const first = await file('b.jsonl', jsonl({ text: 'b' }));
    const directory = join(first, '..');
    await writeFile(join(directory, 'B.jsonl'), jsonl({ text: 'B' }));
    await writeFile(join(directory, 'a.jsonl.gz'), gzipSync(jsonl({ text: 'a' })));
    await writeFile(join(directory, 'notes.md'), 'no data');
    expect((await readPairs(directory)).records.map((record) => record.chosen)).toEqual(['B', 'a', 'b']);
    expect((await readPairs([first, join(directory, 'a.jsonl.gz')])).records.map((record) => record.chosen)).toEqual(['b', 'a']);
  });

  test('CR LF, a byte order mark, blank lines and U+2028 inside a text', async () => {
    const set = await readPairs(await file('a.jsonl', `\ufeff{"text":"a\u2028b"}\r\n\r\n  \r\n{"text":"c"}`));
    expect(set.records.map((record) => record.chosen)).toEqual(['a\u2028b', 'c']);
    expect(set.records[1]?.source).toMatch(/:4$/);
    expect(set.records[0]?.hash).toBe(sha256Hex('{"text":"a\u2028b"}'));
  });

  test('counts duplicates, empty and equal completions, and replaced surrogates', async () => {
    const set = await readPairs(
      await file(
        'a.jsonl',
        `${jsonl({ prompt: 'p', chosen: 'x', rejected: 'x' }, { prompt: 'p', chosen: '', rejected: 'r' }, { text: 't' }, { text: 't' })}{"text":"a\\ud800"}\n`,
      ),
    );
    expect(set).toMatchObject({ duplicates: 1, emptyChosen: 1, equalPairs: 1, replacedSurrogates: 1 });
    expect(set.records).toHaveLength(4);
    expect(set.records[3]?.chosen).toBe('a\ufffd');
    expect(set.warnings).toHaveLength(4);
  });

  test('a long line that spans many chunks', async () => {
    const text = 'é'.repeat(3_000_000);
    const set = await readPairs(await file('a.jsonl', jsonl({ text: 'x' }, { text })));
    expect(set.records[1]?.chosen).toBe(text);
  });

  test.each([
    ['broken JSON', '{"text":"a"}\n{"text":\n', /a\.jsonl:2: expected one JSON object but the line does not parse/],
    ['no object', '[1]\n', /a\.jsonl:1: .*a list/],
    ['conversational rows', jsonl({ prompt: [{ role: 'user', content: 'x' }], chosen: [], rejected: [] }), /a\.jsonl:1: .*chat template/],
    ['unknown fields', jsonl({ foo: 1 }), /a\.jsonl:1: .*'foo'/],
    ['a number as completion', jsonl({ prompt: 'p', chosen: 3 }), /a\.jsonl:1: .*'chosen'.*number 3/],
    ['a negative id', jsonl({ chosen_ids: [1, -2] }), /a\.jsonl:1: .*entry 2/],
    ['mixed kinds', jsonl({ text: 'a' }, { completion_ids: [1] }), /a\.jsonl:2: .*one kind/],
    ['an empty file', '', /only blank lines/],
    ['only empty completions', jsonl({ prompt: 'p', chosen: '' }), /all 1 are empty/],
  ])('%s is invalid data', async (_, content, message) => {
    const error = await caught(readPairs(await file('a.jsonl', content)));
    expect(error.code).toBe('invalid-data');
    expect(error.message).toMatch(message);
  });

  test('up to twenty mistakes are listed at once', async () => {
    const few = await caught(readPairs(await file('a.jsonl', 'x\ny\n{"text":"a"}\nz\n')));
    expect(few.problems.map((problem) => problem.split(':')[1])).toEqual(['1', '2', '4']);
    expect(few.message).toMatch(/and 2 like it/);
    expect((await caught(readPairs(await file('a.jsonl', 'x\n'.repeat(100))))).problems).toHaveLength(20);
  });

  test('missing, foreign and undecodable files', async () => {
    expect(await caught(readPairs('/nonexistent/x.jsonl'))).toMatchObject({ code: 'not-found' });
    expect(await caught(readPairs(await file('a.parquet', 'PAR1')))).toMatchObject({ code: 'corrupt' });
    expect(await caught(readPairs(await file('a.zip', 'PK')))).toMatchObject({ code: 'unsupported' });
    expect((await caught(readPairs(await file('a.jsonl', Buffer.from([0x7b, 0xff, 0x0a]))))).message).toMatch(/a\.jsonl:1: expected UTF-8/);
    expect(await caught(readPairs(await file('a.jsonl.gz', 'not gzip')))).toMatchObject({ code: 'corrupt' });
    expect(await caught(readPairs([]))).toMatchObject({ code: 'invalid-argument' });
    expect(await caught(readPairs(root))).toMatchObject({ code: 'invalid-data' });
  });

  test('an aborted signal stops reading', async () => {
    const signal = AbortSignal.abort();
    expect(await caught(readPairs(await file('a.jsonl', jsonl({ text: 'a' })), { signal }))).toMatchObject({ code: 'aborted' });
  });
});

describe('buildPool', () => {
  const records = Array.from({ length: 10 }, (_, i): PairRecord => {
    const raw = `{"text":"${i % 9}"}`;
    return { id: String(i), hash: sha256Hex(raw), prompt: '', chosen: String(i), rejected: null, source: `f:${i + 1}`, raw };
  });
  const options = { name: 'p', dataSeed: 43, window: 'all', validation: 3, appendEos: true } as const;

  test('the tail is validation, the rest is shuffled as Python does, the first are kept', () => {
    const pool = buildPool(records, { ...options, window: 4 });
    expect(pool.validation.map((record) => record.id)).toEqual(['7', '8', '9']);
    const order = new PythonRandom(43).shuffle([0, 1, 2, 3, 4, 5, 6]).slice(0, 4).map(String);
    expect(pool.records.map((record) => record.id)).toEqual(order);
    // python3 -c "import random; x=list(range(7)); random.Random(43).shuffle(x); print(x)"
    expect(order).toEqual(['5', '6', '4', '3']);
    expect(pool.hash).toBe(sha256Hex(pool.records.map((record) => record.hash).join('')));
  });

  test('exact duplicates are kept unless asked otherwise', () => {
    expect(buildPool(records, options).records).toHaveLength(7);
    const pool = buildPool(records, { ...options, dedupe: 'exact' });
    expect(pool.records.length + pool.validation.length).toBe(9);
    expect(pool.warnings.join()).toMatch(/1 exact duplicate/);
  });

  test.each([
    [{ window: 8 }, 'invalid-argument'],
    [{ window: 0 }, 'invalid-argument'],
    [{ validation: 10 }, 'invalid-data'],
    [{ validation: -1 }, 'invalid-argument'],
    [{ dataSeed: 1.5 }, 'invalid-argument'],
  ] as const)('refuses %o', (change, code) => {
    expect(() => buildPool(records, { ...options, ...change })).toThrow(expect.objectContaining({ code }) as Error);
  });
});

describe('prompts and texts', () => {
  test('prompts as text, ids, RealToxicityPrompts rows and lines', async () => {
    const set = await readPrompts(
      await file(
        'a.jsonl',
        jsonl({ prompt: 'p', gold: 'g' }, { prompt_ids: [1] }, { prompt: { text: 't', toxicity: 0.7, profanity: null } }),
      ),
    );
    expect(set.prompts.map(({ source: _, ...rest }) => rest)).toEqual([
      { text: 'p', gold: 'g' },
      { text: '', ids: [1] },
      { text: 't', scores: { toxicity: 0.7 } },
    ]);
    expect((await readPrompts(await file('a.txt', 'one\n\ntwo\n'))).prompts.map((prompt) => prompt.text)).toEqual(['one', 'two']);
    expect((await caught(readPrompts(await file('a.jsonl', jsonl({ prompt: 'x' }, { promt: 'y' }))))).message).toMatch(/:2: .*'promt'/);
  });

  test('WikiText as published and its rows give the same text, with LF and CR LF', async () => {
    const raw = ' \n = Title = \n \n Some text . \n \n';
    const rows = ['', ' = Title = \n', '', ' Some text . \n', ''];
    expect(await readTextRows(await file('wiki.test.raw', raw))).toMatchObject({ format: 'wikitext', rows, warnings: [] });
    expect((await readTextRows(await file('wiki.test.raw', raw.replaceAll('\n', '\r\n')))).rows).toEqual(rows);
    expect((await readTextRows(await file('rows.jsonl', jsonl(...rows.map((text) => ({ text })))))).rows).toEqual(rows);
    const bare = await readTextRows(await file('wiki.test.raw', ' = Title = \n Some text . \n'));
    expect(bare.warnings).toHaveLength(1);
  });

  test('plain text joins to itself', async () => {
    const text = 'First Citizen:\nSpeak.\n\n\nAll:\nWe know.';
    const { rows, format } = await readTextRows(await file('a.txt', `${text}\n`));
    expect(format).toBe('plain');
    expect(rows.join('\n\n')).toBe(text);
  });

  test('LAMBADA rows and texts', async () => {
    expect((await readLambada(await file('a.jsonl', jsonl({ text: 'a b' })))).texts).toEqual(['a b']);
    expect((await caught(readLambada(await file('a.jsonl', jsonl({ text: 'word' }))))).message).toMatch(/:1: .*last word/);
    expect((await readTexts(await file('a.txt', 'x\ny\n'))).texts).toEqual(['x', 'y']);
    expect(await caught(readTexts(await file('a.jsonl', '\n')))).toMatchObject({ code: 'invalid-data' });
    expect(await caught(readTexts(root))).toMatchObject({ code: 'invalid-argument' });
  });
});

describe('files and hashes', () => {
  test('a file is replaced whole and nothing stays beside it', async () => {
    const path = await file('out.json', 'old');
    await writeFileAtomic(path, ['ne', Buffer.from('w')]);
    expect(await readFile(path, 'utf8')).toBe('new');
    expect(await readdir(join(path, '..'))).toEqual([basename(path)]);
  });

  test('unwritable places are one sentence of code io', async () => {
    const path = await file('plain', 'x');
    expect(await caught(writeFileAtomic(join(path, 'below'), 'x'))).toMatchObject({ code: 'io' });
    expect(await caught(writeFileAtomic(join(root, 'missing', 'f'), 'x'))).toMatchObject({ code: 'io' });
    expect(await caught(ensureWritableDirectory(path))).toMatchObject({ code: 'io' });
    await ensureWritableDirectory(join(root, 'new', 'deep'));
  });

  test('hashes of texts, files and several files', async () => {
    const path = await file('a', 'abc');
    const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
    expect(sha256Hex('abc')).toBe(abc);
    expect(await sha256File(path)).toBe(abc);
    expect(await sha256Files([path])).toBe(abc);
    expect(await sha256Files([path, path])).toBe(sha256Hex(abc + abc));
    expect(await caught(sha256Files([join(path, 'x')]))).toMatchObject({ code: 'not-found' });
  });
});
