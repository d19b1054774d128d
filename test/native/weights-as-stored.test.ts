// Weights kept in 16 bits: the same results as in float32, in less memory, also across an interruption.
import { createHash } from 'node:crypto';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/core/package-root.ts';
import {
  batchOfLengths,
  forecastMemory,
  forecastRepair,
  irepair,
  LanguageModel,
  type RepairOptions,
  readPairs,
  readTexts,
  repair,
  type WeightStorage,
} from '../../src/index.ts';
import { cli } from '../unit/cli-fixture.ts';

const DEMO = join(packageRoot(), 'assets', 'demo');
let folder: string;
const at = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mendset-stored-'));
  using model = await LanguageModel.load(join(DEMO, 'model'), { backend: 'cpu' });
  await model.save(at('bf16'), { dtype: 'BF16' });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const load = (weights: WeightStorage, directory = at('bf16')) => LanguageModel.load(directory, { backend: 'cpu', threads: 2, weights });

/** Of every tensor's bits: comparing millions of numbers one by one takes minutes. */
function tensorsOf(model: LanguageModel): string[] {
  return model.tensors.map(({ name, count }) => {
    const values = new Float32Array(count);
    model.handle.readTensor(name, values);
    return `${name} ${createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex')}`;
  });
}

describe('weights as stored', () => {
  it('give the bits of float32 in about half the memory', async () => {
    using wide = await load('float32');
    using narrow = await load('stored');
    expect(wide.summary).toMatchObject({ storedDtype: 'BF16', heldDtype: 'F32' });
    expect(narrow.summary).toMatchObject({ storedDtype: 'BF16', heldDtype: 'BF16' });
    expect(narrow.summary.bytes).toBeLessThan(0.55 * wide.summary.bytes);
    const texts = ['A kind word costs nothing.', 'The night train', 'x'].map((text) => {
      const ids = wide.requireTokenizer().encode(text);
      return { ids, mask: new Uint8Array(ids.length).fill(1, 1) };
    });
    expect(await narrow.score(texts)).toEqual(await wide.score(texts));
    expect(await narrow.gradientNorms(texts)).toEqual(await wide.gradientNorms(texts));
    const prompts = texts.map(({ ids }) => ids);
    const options = { maxNewTokens: 8, topP: 0.9, seed: 3 };
    expect(await narrow.generate(prompts, options)).toEqual(await wide.generate(prompts, options));
  });

  it('are forecast from the files of a folder or the dtype of a config', async () => {
    using narrow = await load('stored');
    const work = { kind: 'score', batch: batchOfLengths([40, 12]) } as const;
    const forecast = await forecastMemory(at('bf16'), work, { backend: 'cpu', weights: 'stored' });
    expect(forecast.weights).toBe(narrow.summary.bytes);
    const config = { model_type: 'gpt2', n_layer: 2, n_embd: 64, n_head: 2, vocab_size: 500, n_positions: 64, dtype: 'float16' };
    const [wide, half] = await Promise.all(
      (['float32', 'stored'] as const).map((weights) => forecastMemory(config, { kind: 'score', batch: batchOfLengths([9]) }, { weights })),
    );
    expect(half?.weights).toBeLessThan(0.6 * (wide?.weights as number));
  });

  it('are repaired like float32, widened only where they are trained, and resumed as they are held', async () => {
    const { records, appendEos } = await readPairs([join(DEMO, 'pool.jsonl')]);
    const { texts } = await readTexts(join(DEMO, 'normal.jsonl'));
    const data = { train: records.slice(0, 24), validation: records.slice(24, 30), normal: texts.slice(0, 24), appendEos };
    const options: RepairOptions = { batchSize: 4, learningRate: 1e-3, warmupSteps: 1, evalEvery: 8, keep: 'best' };
    const method = irepair({ kl: {} });
    const forecast = await forecastRepair(at('bf16'), data, method, { ...options, backend: 'cpu', weights: 'stored' });

    using wide = await load('float32');
    const expected = await repair(wide, data, method, options);
    using narrow = await load('stored');
    const before = narrow.summary.bytes;
    const found = await repair(narrow, data, method, options);
    expect(found.model).toMatchObject({ heldDtype: 'BF16' });
    expect(found.log.map(({ loss, blocks }) => ({ loss, blocks }))).toEqual(expected.log.map(({ loss, blocks }) => ({ loss, blocks })));
    expect(tensorsOf(narrow)).toEqual(tensorsOf(wide));
    expect(forecast.memory.weights).toBeGreaterThan(before);
    expect(forecast.memory.weights).toBeLessThan(wide.summary.bytes);
    expect(forecast.memory.weightsMost).toBeGreaterThanOrEqual(forecast.memory.weights * 0.9);

    const checkpoint = { directory: at('state'), everySteps: 2 };
    const abort = new AbortController();
    using begun = await load('stored');
    const interrupted = repair(begun, data, method, {
      ...options,
      checkpoint,
      signal: abort.signal,
      onStep: ({ step }) => void (step === 4 && abort.abort()),
    });
    await expect(interrupted).rejects.toMatchObject({ code: 'aborted' });
    using resumed = await load('stored');
    await repair(resumed, data, method, { ...options, checkpoint, resume: true });
    expect(tensorsOf(resumed)).toEqual(tensorsOf(wide));
    await resumed.save(at('held'), { dtype: 'held' });
    using again = await load('stored', at('held'));
    expect(tensorsOf(again)).toEqual(tensorsOf(wide));
    expect((await stat(join(at('held'), 'model.safetensors'))).size).toBeLessThan(0.95 * wide.summary.bytes);
  });

  it('are an option of the commands, which say what came of it', async () => {
    const run = async (...argv: string[]) => {
      const { code, stdout } = await cli(argv);
      return { code, document: stdout === '' ? null : JSON.parse(stdout) };
    };
    const { code, document } = await run('info', '--model', at('bf16'), '--weights', 'stored', '--json', '--backend', 'cpu');
    expect(code).toBe(0);
    expect(document.model.heldDtype).toBe('BF16');
    const plan = async (weights: string) => {
      const data = ['--data', join(DEMO, 'pool.jsonl'), '--method', 'irepair', '--validation', '8', '--max-steps', '2'];
      return (await run('repair', '--model', at('bf16'), ...data, '--dry-run', '--weights', weights, '--json', '--backend', 'cpu'))
        .document;
    };
    const [wide, narrow] = [await plan('float32'), await plan('stored')];
    expect(narrow.memory.peak).toBeLessThan(wide.memory.peak);
    expect((await run('info', '--model', at('bf16'), '--weights', 'int8', '--json')).code).toBe(2);
  });
});
