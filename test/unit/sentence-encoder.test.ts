import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { readEmbeddings } from '../../src/data/read-embeddings.ts';
import { computeFeatures } from '../../src/features/compute-features.ts';
import { loadEmbedder } from '../../src/features/embedder.ts';
import { LanguageModel } from '../../src/model/language-model.ts';
import { isEncoderFolder, SentenceEncoder } from '../../src/model/sentence-encoder.ts';
import { pairRecords } from '../pair-records.ts';
import { cli, errors } from './cli-fixture.ts';

const golden = fileURLToPath(new URL('../golden/encoders/tiny-minilm', import.meta.url));
const tinyGpt2 = fileURLToPath(new URL('../golden/tiny-hf/tiny-gpt2', import.meta.url));
const texts = JSON.parse(await readFile(join(golden, 'texts.json'), 'utf8')) as string[];
let root: string;
let encoder: SentenceEncoder;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mendset-encoder-'));
  encoder = await SentenceEncoder.load(golden, { backend: 'cpu' });
});
afterAll(async () => {
  encoder.dispose();
  await rm(root, { recursive: true, force: true });
});

async function changed(files: Record<string, string>): Promise<string> {
  const folder = await mkdtemp(join(root, 'changed-'));
  await cp(golden, folder, { recursive: true });
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  return folder;
}

describe('a sentence encoder', () => {
  test('texts become what sentence-transformers makes of them', async () => {
    const expected = await readEmbeddings(`${join(golden, 'reference.safetensors')}#embeddings`);
    const { data, rows, columns } = await encoder.embed(texts);
    expect([rows, columns]).toEqual([texts.length, encoder.width]);
    const largest = data.reduce((most, value, i) => Math.max(most, Math.abs(value - (expected.data[i] as number))), 0);
    expect(largest, 'regenerate with test/golden/encoders/make_encoders.py').toBeLessThan(1e-4);
  });

  test('is cut at its length, special tokens counted', () => {
    expect(encoder.model.maxTokens).toBe(32);
    const ids = encoder.tokenizer.encode('cat '.repeat(60), { specials: true, maxLength: 32 });
    expect([ids.length, ids[0], ids.at(-1)]).toEqual([32, 2, 3]);
  });

  test('rows do not depend on the other texts', async () => {
    const together = await encoder.embed(texts);
    for (const [i, text] of texts.entries()) {
      const alone = await encoder.embed([text]);
      expect(alone.data).toEqual(together.data.slice(i * together.columns, (i + 1) * together.columns));
    }
  });

  test('its hash covers what decides a vector', async () => {
    const { hash } = encoder;
    for (const files of [
      { 'sentence_bert_config.json': '{"max_seq_length": 16, "do_lower_case": false}' },
      { 'sentence_bert_config.json': '{"max_seq_length": 32, "do_lower_case": true}' },
      { 'tokenizer.json': (await readFile(join(golden, 'tokenizer.json'), 'utf8')).replace('"lowercase": true', '"lowercase": false') },
    ]) {
      using other = await SentenceEncoder.load(await changed(files));
      expect(other.hash).not.toBe(hash);
    }
  });

  test('one that puts a prompt before texts is refused', async () => {
    const folder = await changed({ 'config_sentence_transformers.json': '{"prompts":{"query":"q: "},"default_prompt_name":"query"}' });
    await expect(SentenceEncoder.load(folder)).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringMatching(/'query'/) as string,
    });
  });

  test('is told from a language model', async () => {
    expect(await isEncoderFolder(golden)).toBe(true);
    expect(await isEncoderFolder(fileURLToPath(new URL('../golden/encoders/roberta', import.meta.url)))).toBe(true);
    expect(await isEncoderFolder(tinyGpt2)).toBe(false);
    const { model, encoder: none } = await loadEmbedder(tinyGpt2, {});
    expect(model).toBeInstanceOf(LanguageModel);
    expect(none).toBeUndefined();
    model?.dispose();
  });
});

describe('as feature', () => {
  test('is cached under the encoder, and computed anew for another', async () => {
    const records = pairRecords(5);
    const pool = { records, appendEos: true };
    const cacheDirectory = join(root, 'cache');
    const first = await computeFeatures(pool, ['embeddings'], { embeddings: { encoder }, cacheDirectory });
    expect(first.embeddings).toMatchObject({
      cached: false,
      options: { source: 'encoder', pooling: 'mean', normalize: true, maxTokens: 32 },
    });
    expect(first.embeddings?.cost.flopsCounted).toBeGreaterThan(0);
    const again = await computeFeatures(pool, ['embeddings'], { embeddings: { encoder }, cacheDirectory });
    expect(again.embeddings?.cached).toBe(true);
    expect(again.embeddings?.values.data).toEqual(first.embeddings?.values.data);
    using other = await SentenceEncoder.load(await changed({ 'sentence_bert_config.json': '{"max_seq_length": 8}' }));
    const third = await computeFeatures(pool, ['embeddings'], { embeddings: { encoder: other }, cacheDirectory });
    expect(third.embeddings?.cached).toBe(false);
    expect((await readdir(cacheDirectory)).filter((name) => name.endsWith('.npy'))).toHaveLength(2);
  });

  test('on the command line, for select and score', async () => {
    const pool = join(root, 'pool.jsonl');
    const rows = texts.filter((text) => text !== '').map((text) => ({ prompt: '', chosen: text, rejected: 'cat' }));
    await writeFile(pool, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const out = join(root, 'chosen.jsonl');
    const run = await cli(['select', '--pool', pool, '--method', 'k-center', '--budget', '2', '--encoder', golden, '--out', out, '--json']);
    expect(run.stderr).toBe('');
    expect(JSON.parse(run.stdout)).toMatchObject({ modelHash: encoder.hash });
    const scored = await cli(['score', '--what', 'embedding', '--data', pool, '--encoder', golden, '--json']);
    const document = JSON.parse(scored.stdout) as { encoderHash: string; records: { embedding: number[] }[] };
    expect(document.encoderHash).toBe(encoder.hash);
    const expected = await encoder.embed(rows.map((row) => `\n${row.chosen}\n${row.rejected}`));
    expect(document.records.flatMap((record) => record.embedding)).toEqual([...expected.data]);
    expect(errors(await cli(['score', '--what', 'toxicity', '--data', pool, '--encoder', golden, '--json']))).toEqual([
      'Expected no --encoder without --what embedding.',
    ]);
  });
});
