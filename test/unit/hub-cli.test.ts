import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { readPairs } from '../../src/data/read-pairs.ts';
import { LanguageModel } from '../../src/model/language-model.ts';
import { bpeToTokenizerJson, trainBpe } from '../../src/tokenizer/train-bpe.ts';
import { type HubRepository, HubServer } from '../hub-server.ts';
import { cli, errors } from './cli-fixture.ts';

const server = new HubServer();
const tiny = (name: string): string => fileURLToPath(new URL(`../golden/tiny-hf/${name}`, import.meta.url));
let root: string;

async function repository(folder: string): Promise<HubRepository> {
  const names = await readdir(folder);
  const files: Record<string, Buffer> = {};
  for (const name of names) files[name] = await readFile(join(folder, name));
  return { files, large: names.filter((name) => name.endsWith('.safetensors')) };
}

beforeAll(async () => {
  await server.listen();
  root = await mkdtemp(join(tmpdir(), 'mendset-hub-cli-'));
  vi.stubEnv('HF_ENDPOINT', server.endpoint);
  vi.stubEnv('HF_HUB_CACHE', join(root, 'hub'));
  vi.stubEnv('HF_TOKEN', '');
  vi.stubEnv('HF_HUB_OFFLINE', '');
  const bytes = JSON.stringify(bpeToTokenizerJson(trainBpe([], 256), '<|endoftext|>'));
  const whole = await repository(tiny('tiny-gpt2'));
  server.repositories.set('o/tiny', { ...whole, files: { ...whole.files, 'tokenizer.json': bytes } });
  server.repositories.set('o/sharded', await repository(tiny('tiny-gpt2-sharded')));
  server.repositories.set('datasets/o/pairs', { files: { 'train.csv': 'question,good,bad\nWhy?,yes,no\nWhen?,now,never\n' } });
});

afterAll(async () => {
  vi.unstubAllEnvs();
  await server.close();
  await rm(root, { recursive: true, force: true });
});

describe('hf: names on the command line and in the library', () => {
  test('a model, whole and sharded, is the one of the folder', async () => {
    const { hash } = await LanguageModel.load(tiny('tiny-gpt2'));
    const run = await cli(['info', '--model', 'hf:o/tiny', '--json', '--backend', 'cpu']);
    expect(run.code).toBe(0);
    expect(JSON.parse(run.stdout)).toMatchObject({ model: { hash, family: 'gpt2' } });
    using sharded = await LanguageModel.load('hf:o/sharded');
    expect(sharded.directory).toContain(join('models--o--sharded', 'snapshots'));
    expect(sharded.summary.parameters).toBe(48448);
  });

  test('a data set under its own names of columns', async () => {
    const { records, files } = await readPairs('hf:datasets/o/pairs', { columns: { prompt: 'question', chosen: 'good', rejected: 'bad' } });
    expect(records).toMatchObject([{ prompt: 'Why?', chosen: 'yes', rejected: 'no' }, { prompt: 'When?' }]);
    expect(files[0]).toMatch(/datasets--o--pairs.*train\.csv$/);
    const out = join(root, 'chosen.jsonl');
    const run = await cli([
      'select',
      '--pool',
      'hf:datasets/o/pairs',
      '--columns',
      'prompt=question,chosen=good,rejected=bad',
      '--method',
      'random',
      '--budget',
      '1',
      '--out',
      out,
    ]);
    expect(run.code).toBe(0);
    expect((await readFile(out, 'utf8')).trim().split('\n')).toHaveLength(1);
  });

  test('mistakes are told before anything is fetched', async () => {
    server.reset();
    const run = await cli([
      'select',
      '--pool',
      'hf:../x',
      '--model',
      'hf:a b',
      '--columns',
      'chosn=x',
      '--method',
      'k-center',
      '--budget',
      '1',
    ]);
    expect(run.code).toBe(2);
    expect(errors(run).join('\n')).toMatch(/--columns to be field=column pairs/);
    expect(errors(run).join('\n')).toMatch(/'hf:\.\.\/x'/);
    expect(errors(run).join('\n')).toMatch(/'hf:a b'/);
    expect(server.requests).toEqual([]);
  });

  test('a model that is not there', async () => {
    const run = await cli(['info', '--model', 'hf:o/none']);
    expect(run.code).toBe(2);
    expect(errors(run)).toEqual([expect.stringMatching(/^hf:o\/none does not exist/)]);
  });

  test('a study names models and data of the Hub', async () => {
    const path = join(root, 'study.yaml');
    const prompts = join(root, 'prompts.txt');
    await writeFile(prompts, 'hello\n');
    await writeFile(
      path,
      [
        'name: hub',
        'models: [hf:o/tiny]',
        'pool: { files: ["hf:datasets/o/pairs"], validation: 1, columns: { prompt: question, chosen: good, rejected: bad } }',
        'selectors: [random]',
        'repairs: [dapt]',
        `evaluation: { lastWord: ${JSON.stringify(await lastWord())} }`,
      ].join('\n'),
    );
    const run = await cli(['study', path, '--dry-run', '--plan-only', '--json']);
    expect(run.stderr).toBe('');
    expect(JSON.parse(run.stdout)).toMatchObject({ config: { models: [{ name: 'tiny', path: 'hf:o/tiny' }] } });
    await writeFile(path, (await readFile(path, 'utf8')).replace('hf:o/tiny', 'hf:o/'));
    expect(errors(await cli(['study', path, '--dry-run']))).toEqual([expect.stringMatching(/study\.yaml:2:\d+: models.*hf:owner\/name/)]);
  });
});

async function lastWord(): Promise<string> {
  const path = join(root, 'last.jsonl');
  await writeFile(path, '{"text":"one two three"}\n');
  return path;
}
