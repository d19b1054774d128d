import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { batchOfLengths, forecastMemory, LanguageModel, pack, type TokenSequence, Trainer } from '../../src/index.ts';

const CONFIG = { model_type: 'gpt2', n_layer: 3, n_embd: 64, n_head: 4, vocab_size: 500, n_positions: 128 };
const MIB = 2 ** 20;

function sequences(lengths: readonly number[]): TokenSequence[] {
  return lengths.map((length, i) => ({
    ids: Int32Array.from({ length }, (_, t) => (7 * t + 31 * i) % 500),
    mask: new Uint8Array(length).fill(1, 1),
  }));
}

describe('memory of a step', () => {
  const lengths = [60, 50, 40, 60];
  const request = { loss: 'ce', chosen: pack(sequences(lengths)), lr: 1e-4 } as const;

  it('is forecast from the config and from lengths alone', async () => {
    using model = LanguageModel.create(CONFIG, { backend: 'cpu', threads: 2 });
    using trainer = new Trainer(model);
    const forecast = await forecastMemory(
      CONFIG,
      { kind: 'step', request: { loss: 'ce', chosen: batchOfLengths(lengths) } },
      { backend: 'cpu', threads: 2 },
    );
    expect(forecast).toEqual(trainer.forecast(request));
    expect(forecast.weights).toBe(model.summary.bytes);
    expect(forecast.peak).toBe(forecast.weights + forecast.optimizer + forecast.work + forecast.scratch);
    const result = await trainer.step(request);
    expect(forecast.optimizer).toBe(trainer.bytes);
    expect(forecast.flops / result.flops).toBeCloseTo(1, 3);
  });

  it('reads the config of a checkpoint, and knows every kind of work', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mendset-forecast-'));
    try {
      await cp('test/golden/tiny-hf/tiny-gpt-neox/config.json', join(folder, 'config.json'));
      const batch = batchOfLengths([20, 30]);
      const pairs = { chosen: batch, rejected: batch, normal: batch, weightKl: 1, weightRepair: 0.5 };
      const step = await forecastMemory(folder, {
        kind: 'step',
        request: { loss: 'dpo', ...pairs },
        optimizer: { kind: 'adamw' },
        snapshot: true,
      });
      expect(step.optimizer).toBe(2 * step.weights);
      expect(step.snapshot).toBe(step.weights);
      expect(step.reference).toBeGreaterThan(0);
      const score = await forecastMemory(folder, { kind: 'score', batch });
      const norms = await forecastMemory(folder, { kind: 'gradient-norms', batch });
      const generation = await forecastMemory(folder, { kind: 'generate', batch, maxNewTokens: 5 });
      expect(score.work).toBeLessThan(norms.work);
      expect(norms.flops).toBeGreaterThan(2 * score.flops);
      expect(generation.cache).toBeGreaterThan(0);
      await expect(forecastMemory(join(folder, 'absent'), { kind: 'score', batch })).rejects.toMatchObject({ code: 'not-found' });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('stays within a budget, or is refused before anything changes', async () => {
    using model = LanguageModel.create(CONFIG, { seed: 3 });
    using free = new Trainer(model);
    const whole = free.forecast(request);
    const need = whole.peak + 40 * MIB;
    using roomy = new Trainer(model, { memoryBudget: need });
    expect(roomy.forecast(request)).toMatchObject({ microBatches: 1, checkpointed: false });
    using tight = new Trainer(model, { memoryBudget: whole.peak - whole.scratch - Math.round(whole.work / 3) + 32 * MIB });
    expect(tight.forecast(request).microBatches).toBeGreaterThan(1);
    const reference = await free.step({ ...request, update: false });
    const cut = await tight.step({ ...request, update: false, microBatchTokens: 60 });
    expect(cut.microBatches).toBeGreaterThan(1);
    expect(cut.loss).toBe(reference.loss);
    using impossible = new Trainer(model, { memoryBudget: 33 * MIB });
    await expect(impossible.step(request)).rejects.toMatchObject({ code: 'invalid-argument', message: expect.stringContaining('budget') });
    await expect(free.step({ ...request, microBatchTokens: -1 })).rejects.toMatchObject({ code: 'invalid-argument' });
    using same = LanguageModel.create(CONFIG, { seed: 3 });
    const logits = async (m: LanguageModel) => (await m.logits(sequences([20])))[0]?.data;
    expect(await logits(model)).toEqual(await logits(same));
  });

  it('checkpointing changes no bit of a trained model', async () => {
    const train = async (options: { checkpoint?: boolean; microBatchTokens?: number }) => {
      using model = LanguageModel.create(CONFIG, { seed: 4 });
      using trainer = new Trainer(model, options);
      await trainer.step(request);
      return (await model.logits(sequences([20])))[0]?.data as Float32Array;
    };
    const plain = await train({});
    expect(await train({ checkpoint: true })).toEqual(plain);
    const cut = await train({ microBatchTokens: 60 });
    expect(cut).not.toEqual(new Float32Array(cut.length));
    for (let i = 0; i < plain.length; i++) expect(Math.abs((cut[i] as number) - (plain[i] as number))).toBeLessThan(1e-2);
  });
});
