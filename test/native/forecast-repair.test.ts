import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readPairs } from '../../src/data/read-pairs.ts';
import { readTexts } from '../../src/data/read-texts.ts';
import { LanguageModel } from '../../src/model/language-model.ts';
import { Trainer } from '../../src/model/trainer.ts';
import { dapt } from '../../src/repair/dapt.ts';
import { dpo } from '../../src/repair/dpo.ts';
import { forecastRepair } from '../../src/repair/forecast-repair.ts';
import { irepair } from '../../src/repair/irepair.ts';
import type { RepairMethod } from '../../src/repair/method.ts';
import { npo } from '../../src/repair/npo.ts';
import { repair } from '../../src/repair/repair.ts';

const demo = fileURLToPath(new URL('../../assets/demo', import.meta.url));
const { records, appendEos } = await readPairs([join(demo, 'pool.jsonl')]);
const { texts } = await readTexts(join(demo, 'normal.jsonl'));
const data = { train: records.slice(0, 30), validation: records.slice(30, 38), normal: texts.slice(0, 40), appendEos };

describe('the forecast of a repair', () => {
  const methods: [string, RepairMethod][] = [
    ['dapt', dapt()],
    ['dpo', dpo()],
    ['npo', npo()],
    ['irepair+kl', irepair({ kl: {} })],
  ];
  it.each(methods)('tells steps, tokens, FLOPs and memory of %s as the run finds them', async (_, method) => {
    const options = { epochs: 2, batchSize: 4, maxSteps: 11, patience: 1000 };
    const forecast = await forecastRepair(join(demo, 'model'), data, method, { ...options, backend: 'cpu', threads: 2 });
    using model = await LanguageModel.load(join(demo, 'model'), { backend: 'cpu', threads: 2 });
    const result = await repair(model, data, method, { ...options, evalEvery: 1000 });
    expect(forecast.steps).toBe(result.steps);
    expect(forecast.records).toBe(result.usedRecords);
    expect(forecast.tokens).toBe(result.cost.tokens);
    expect(forecast.validationRecords).toBe(8);
    const { weights, reference, optimizer, snapshot, work, cache, scratch, peak } = forecast.memory;
    expect(peak).toBe(weights + reference + optimizer + snapshot + work + cache + scratch);
    expect(weights).toBe(model.summary.bytes);
    expect(reference > 0).toBe(method.kl !== null);
    // validation and what the original model computes come on top in the run
    expect(forecast.flops).toBeGreaterThan(0.5 * result.cost.flopsCounted);
    expect(forecast.flops).toBeLessThan(1.15 * result.cost.flopsCounted);
  });

  it('counts an equal-steps budget in the epochs it takes', async () => {
    const { steps, epochs } = await forecastRepair(join(demo, 'model'), data, dapt(), { steps: 20, backend: 'cpu' });
    expect({ steps, epochs }).toEqual({ steps: 20, epochs: 3 });
  });

  it.each(methods)('with a low-rank adapter: %s holds what its trainer forecasts, and far less than the weights', async (_, method) => {
    const options = { maxSteps: 3, lora: { rank: 4 } };
    const folder = join(demo, 'model');
    const { memory, flops } = await forecastRepair(folder, data, method, { ...options, backend: 'cpu', threads: 2 });
    const whole = await forecastRepair(folder, data, method, { maxSteps: 3, backend: 'cpu', threads: 2 });
    using model = await LanguageModel.load(folder, { backend: 'cpu', threads: 2 });
    using trainer = new Trainer(model, { adapter: { rank: 4, alpha: 8, targets: [] } });
    const adapter = 4 * trainer.tensors.reduce((sum, t) => sum + t.count, 0);
    // the weights are frozen and their own reference
    expect(memory).toMatchObject({ weights: model.summary.bytes + adapter, reference: 0, snapshot: adapter });
    expect(memory.optimizerMost).toBe(adapter);
    expect(memory.optimizer).toBeLessThan(whole.memory.optimizer / 10);
    const result = await repair(model, data, method, { ...options, evalEvery: 1000 });
    // validation comes on top in the run
    const counted = result.cost.flopsCounted - result.cost.flopsReference;
    expect(flops).toBeGreaterThan(0.4 * counted);
    expect(flops).toBeLessThan(1.15 * counted);
  });

  it('refuses a budget that one sample exceeds, before weights are read', async () => {
    await expect(forecastRepair(join(demo, 'model'), data, dapt(), { memoryBudget: 2 ** 20, backend: 'cpu' })).rejects.toThrowError(
      /memory budget/,
    );
  });
});
