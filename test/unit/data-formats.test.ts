import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as zlib from 'node:zlib';

import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { forEachDelimitedRecord } from '../../src/data/delimited.ts';
import { readPairs } from '../../src/data/read-pairs.ts';
import { readPrompts } from '../../src/data/read-prompts.ts';
import { readLambada, readTextRows, readTexts } from '../../src/data/read-texts.ts';

let root: string;
let count = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mendset-formats-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function file(name: string, content: string | Buffer): Promise<string> {
  const path = join(root, `${count++}-${name}`);
  await writeFile(path, content);
  return path;
}
const golden = (name: string): string => fileURLToPath(new URL(`../golden/parquet/${name}`, import.meta.url));
const failure = (code: string, message: RegExp): object => ({ code, message: expect.stringMatching(message) as string });

async function records(
  content: string,
  delimiter: ',' | '\t' = ',',
): Promise<{ rows: (readonly string[])[]; lines: number[]; problems: string[] }> {
  const path = await file('x.csv', content);
  const rows: (readonly string[])[] = [];
  const lines: number[] = [];
  const problems: string[] = [];
  await forEachDelimitedRecord(
    path,
    delimiter,
    ({ fields, line }) => {
      rows.push(fields);
      lines.push(line);
    },
    (source, problem) => problems.push(`${source.split(':').at(-1)}: ${problem}`),
  );
  return { rows, lines, problems };
}

describe('delimited files', () => {
  test('quotes, line breaks in fields, empty fields and lines', async () => {
    const { rows, lines, problems } = await records(
      '\ufeffa,b,c\r\n1,"x, ""y""",\n\n"two\nlines",,"crlf\r\nkept"\r\n,,\nlast,bare " quote,z',
    );
    expect(rows).toEqual([
      ['a', 'b', 'c'],
      ['1', 'x, "y"', ''],
      ['two\nlines', '', 'crlf\r\nkept'],
      ['', '', ''],
      ['last', 'bare " quote', 'z'],
    ]);
    expect(lines).toEqual([1, 2, 4, 7, 8]);
    expect(problems).toEqual([]);
  });

  test('what is written as RFC 4180 says is read back', async () => {
    const cell = fc.stringMatching(/^[a ",\t\r\n\u00e9\u{1f642}]{0,12}$/u);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(cell, cell, cell), { minLength: 1, maxLength: 8 }), async (table) => {
        const text = table.map((row) => row.map((value) => `"${value.replaceAll('"', '""')}"`).join(',')).join('\r\n');
        expect((await records(`${text}\r\n`)).rows).toEqual(table);
      }),
      { seed: 1, numRuns: 100 },
    );
  });

  test('mistakes name the line', async () => {
    expect((await records('a,b\n"x"y,z\n1,2\n')).problems).toEqual([expect.stringMatching(/^2: expected a comma or the end/)]);
    expect((await records('a,b\n1,2\n3,"open\nmore\n')).problems).toEqual([expect.stringMatching(/^3: .*the file ends first/)]);
    expect((await records('a\tb\n"x" \tz\n', '\t')).problems).toEqual([expect.stringMatching(/^2: expected a tab/)]);
  });
});

describe('pairs', () => {
  const csv = 'prompt,chosen,rejected,toxicity\nWhy?,"kind, yes",rude,0.75\nWhen?,soon,,\n';

  test.each([
    ['a.csv', csv],
    ['a.tsv', csv.replace('"kind, yes"', 'kind; yes').replaceAll(',', '\t').replace(';', ',')],
    ['a.csv.gz', zlib.gzipSync(csv)],
  ])('of a table %s', async (name, content) => {
    const { records: pairs, appendEos } = await readPairs(await file(name, content));
    expect(pairs).toMatchObject([
      { prompt: 'Why?', chosen: 'kind, yes', rejected: 'rude', scores: { toxicity: 0.75 }, source: expect.stringMatching(/:2$/) as string },
      { prompt: 'When?', chosen: 'soon', rejected: null },
    ]);
    expect(pairs[1]?.scores).toBeUndefined();
    expect(appendEos).toBe(true);
  });

  test('mistakes of a table come together, each with its line', async () => {
    const path = await file('bad.csv', 'prompt,chosen\na,b\nc\n"d,e\n');
    await expect(readPairs(path)).rejects.toMatchObject({
      code: 'invalid-data',
      problems: [
        expect.stringMatching(/:3: expected 2 fields as in the header but found 1/),
        expect.stringMatching(/:4: .*the file ends first/),
      ],
    });
    await expect(readPairs(await file('twice.csv', 'a,b,a\n1,2,3\n'))).rejects.toMatchObject(
      failure('invalid-data', /:1: .*'a' stands twice/),
    );
    await expect(readPairs(await file('none.csv', 'x,y\n1,2\n'))).rejects.toMatchObject(
      failure('invalid-data', /:2: expected 'prompt'.*'x', 'y'/),
    );
  });

  test.each(['none', 'snappy', 'gzip', 'brotli'])('of Parquet with compression %s equal those of JSON lines', async (codec) => {
    const parquet = await readPairs(golden(`pairs-${codec}.parquet`));
    const jsonl = await readPairs(golden('pairs.jsonl'));
    const plain = (set: typeof parquet): object[] => set.records.map(({ source: _, raw: __, hash: ___, ...rest }) => rest);
    expect(plain(parquet)).toEqual(plain(jsonl));
    expect(parquet.records.map((record) => record.source.split(':').at(-1))).toEqual([
      'row 1',
      'row 2',
      'row 3',
      'row 4',
      'row 5',
      'row 6',
    ]);
  });

  test('of Parquet with a codec that Node lacks: what to install', async () => {
    await expect(readPairs(golden('pairs-lz4.parquet'))).rejects.toMatchObject(
      failure('unsupported', /LZ4.*npm install hyparquet-compressors/),
    );
    if ('zstdDecompressSync' in zlib) expect((await readPairs(golden('pairs-zstd.parquet'))).records).toHaveLength(6);
    else await expect(readPairs(golden('pairs-zstd.parquet'))).rejects.toMatchObject(failure('unsupported', /ZSTD.*Node 22\.15/));
  });

  test('of Parquet with token ids, and a file cut short', async () => {
    const { records: pairs, appendEos } = await readPairs(golden('ids.parquet'));
    expect(pairs[1]).toMatchObject({ promptIds: [1, 2, 2147483647], chosenIds: [7, 8] });
    expect(appendEos).toBe(false);
    const cut = await file('cut.parquet', (await readFile(golden('pairs-none.parquet'))).subarray(0, 900));
    await expect(readPairs(cut)).rejects.toMatchObject({ code: 'corrupt' });
  });

  test('of a text, one example a line', async () => {
    const { records: pairs } = await readPairs(await file('x.txt', 'first\n\nsecond\n'));
    expect(pairs).toMatchObject([
      { prompt: '', chosen: 'first', rejected: null },
      { chosen: 'second', source: expect.stringMatching(/:3$/) as string },
    ]);
  });

  test('under other names of columns', async () => {
    const path = await file('q.csv', 'question,good,bad,text,id\nWhy?,yes,no,ignored,7\n');
    const columns = { prompt: 'question', chosen: 'good', rejected: 'bad' };
    expect((await readPairs(path, { columns })).records).toMatchObject([{ id: '7', prompt: 'Why?', chosen: 'yes', rejected: 'no' }]);
    await expect(readPairs(path, { columns: { chosen: 'god' } })).rejects.toMatchObject(failure('invalid-data', /:2: .*'god'.*"good"/));
    await expect(readPairs(path, { columns: { chosn: 'good' } })).rejects.toMatchObject(failure('invalid-argument', /"chosen"/));
  });

  test('of a ParaDetox table with line breaks in its fields, streamed', async () => {
    const path = await file('p.tsv', 'toxic\tneutral1\tneutral2\tneutral3\n"bad\nword"\tgood\t\t\nworse\tfine\tbetter\t\n');
    const first = await readPairs(path);
    expect(first.records).toMatchObject([
      { rejected: 'bad\nword', chosen: 'good' },
      { rejected: 'worse', chosen: 'fine', source: `${path}:4` },
    ]);
    expect((await readPairs(path, { expand: true })).records.map((record) => record.chosen)).toEqual(['good', 'fine', 'better']);
  });
});

describe('texts and prompts', () => {
  test('rows of Parquet join like the published file', async () => {
    const { rows, format } = await readTextRows(golden('texts.parquet'));
    expect(format).toBe('rows');
    expect(rows).toEqual(['', ' = Title = \n', '', ' Words . \n']);
    const published = await readTextRows(await file('wiki.test.raw', ' \n = Title = \n \n Words . \n'));
    expect(published.rows.join('\n\n')).toBe(rows.join('\n\n'));
  });

  test('of tables, with and without other names', async () => {
    const csv = await file('t.csv', 'text,body\none,A long passage\n,B\n');
    expect((await readTexts(csv)).texts).toEqual(['one', '']);
    expect((await readTexts(csv, { columns: { text: 'body' } })).texts).toEqual(['A long passage', 'B']);
    expect((await readPrompts(csv, { columns: { prompt: 'body' } })).prompts.map((prompt) => prompt.text)).toEqual(['A long passage', 'B']);
    await expect(readTexts(await file('t.jsonl', '{"text":null}'))).rejects.toMatchObject({ code: 'invalid-data' });
  });

  test('LAMBADA as published: one passage a line', async () => {
    expect((await readLambada(await file('lambada.txt', 'in the old house\nshe said no\n'))).texts).toEqual([
      'in the old house',
      'she said no',
    ]);
    await expect(readLambada(await file('l.txt', 'fine text\nword\n'))).rejects.toMatchObject(
      failure('invalid-data', /:2: expected a passage/),
    );
  });

  test('RealToxicityPrompts with its scores, null where none was given', async () => {
    const row = {
      prompt: { text: 'So', toxicity: 0.5, threat: null },
      continuation: { text: ' it goes', toxicity: 0.1 },
      challenging: false,
    };
    const { prompts } = await readPrompts(await file('rtp.jsonl', `${JSON.stringify(row)}\n`));
    expect(prompts).toMatchObject([{ text: 'So', scores: { toxicity: 0.5 } }]);
  });
});
