import { describe, expect, it } from 'vitest';
import { dapt } from '../../../src/repair/dapt.ts';
import { dpo } from '../../../src/repair/dpo.ts';
import { forwardFlopsPerToken, paperFlopsPerToken } from '../../../src/repair/flops.ts';
import { irepair } from '../../../src/repair/irepair.ts';
import type { ResolvedOptions } from '../../../src/repair/options.ts';
import { resolveOptions } from '../../../src/repair/options.ts';
import { learningRateAt, normalDraws, trainingOrder, usedNormalTexts } from '../../../src/repair/schedule.ts';

describe('learning rate', () => {
  it('starts at lr / (warmup + 1), rises linearly and stays', () => {
    expect(learningRateAt(0, 1, 150)).toBeCloseTo(1 / 151, 12);
    expect(learningRateAt(149, 1, 150)).toBeCloseTo(150 / 151, 12);
    expect(learningRateAt(150, 1, 150)).toBe(1);
    expect(learningRateAt(9999, 1, 150)).toBe(1);
    expect(learningRateAt(0, 1, 0)).toBe(1);
  });
});

describe('training order', () => {
  it('is a new permutation in each epoch when shuffled', () => {
    const first = trainingOrder(50, 'shuffled', 202, 0);
    const second = trainingOrder(50, 'shuffled', 202, 1);
    expect([...first].sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => i));
    expect([...second]).not.toEqual([...first]);
    expect([...trainingOrder(50, 'shuffled', 202, 0)]).toEqual([...first]);
  });
  it('keeps the selection, or goes back to the pool', () => {
    expect([...trainingOrder(4, 'selection', 1, 0)]).toEqual([0, 1, 2, 3]);
    expect([...trainingOrder(4, 'pool', 1, 0, [7, 2, 9, 0])]).toEqual([3, 1, 0, 2]);
  });
});

describe('normal draws', () => {
  it('read every text once before any twice', () => {
    const draws = normalDraws(12, 4, 202, 'principled');
    const pass = [0, 1, 2].flatMap((s) => Array.from(draws.at(s, s)));
    expect(pass.sort((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, i) => i));
  });
  it('depend on the step alone, not on the steps asked for before', () => {
    const a = normalDraws(30, 4, 1, 'principled');
    const b = normalDraws(30, 4, 1, 'principled');
    a.at(0, 0);
    a.at(8, 8);
    expect(Array.from(a.at(5, 5))).toEqual(Array.from(b.at(5, 5)));
  });
  it('have distinct texts in a batch and start anew in each epoch under the paper preset', () => {
    const draws = normalDraws(100, 4, 202, 'paper');
    const batch = Array.from(draws.at(0, 0));
    expect(new Set(batch).size).toBe(4);
    expect(Array.from(draws.at(25, 0))).toEqual(batch);
    expect(Array.from(normalDraws(100, 4, 202, 'paper').at(3, 3))).toEqual(Array.from(draws.at(3, 3)));
  });
});

describe('FLOPs per token', () => {
  const models = [
    { layers: 36, width: 1280, vocab: 50257, context: 1024 },
    { layers: 48, width: 1600, vocab: 50257, context: 1024 },
    { layers: 24, width: 2048, vocab: 50257, context: 2048 },
  ];
  const table = [
    [dapt(), 4.916, 9.802, 8.469],
    [dapt({ kl: {} }), 8.193, 16.336, 14.116],
    [dpo(), 9.832, 19.603, 16.939],
    [irepair(), 6.896, 13.52, 11.922],
    [irepair({ kl: {} }), 10.173, 20.054, 17.568],
  ] as const;
  it('are those the papers print', () => {
    for (const [method, ...gigas] of table) {
      expect(models.map((shape) => Math.round(paperFlopsPerToken(method, shape) / 1e6) / 1e3)).toEqual(gigas);
    }
    expect(forwardFlopsPerToken(models[0] as (typeof models)[0])).toBeGreaterThan(1.6e9);
  });
});

describe('options', () => {
  it('default to the values of the papers', () => {
    const resolved = resolveOptions(irepair({ kl: {} }), {}, 1024);
    expect(resolved).toMatchObject({
      learningRate: 5e-5,
      batchSize: 4,
      evalBatchSize: 8,
      warmupSteps: 150,
      clipNorm: 0.5,
      evalEvery: 40,
      patience: 30,
      epochs: 1,
      seed: 202,
    });
    expect(resolved.order).toBe('shuffled');
    expect([dapt(), dapt({ kl: {} }), dpo(), dpo({ kl: {} }), irepair()].map((m) => m.learningRate)).toEqual([
      1e-6, 5e-6, 1e-6, 1e-6, 2e-5,
    ]);
    expect(dapt().repairWeight).toBe(1);
    expect(dapt({ kl: {} })).toMatchObject({ repairWeight: 0.5, kl: { weight: 1, direction: 'forward' } });
  });
  it('follow the published code under the paper preset', () => {
    expect(resolveOptions(dapt(), { preset: 'paper' }, 1024)).toMatchObject({
      order: 'selection',
      mask: 'all',
      sequenceSum: true,
      finalValidation: false,
    });
    expect(resolveOptions(dapt({ kl: {} }), { preset: 'paper' }, 1024).sequenceSum).toBe(false);
  });
  it('are checked all at once', () => {
    expect(() => resolveOptions(dapt(), { batchSize: 0, learningRate: -1, totalTokens: 5000 }, 1024)).toThrowError(
      expect.objectContaining({
        code: 'invalid-argument',
        problems: expect.arrayContaining([
          expect.stringContaining('batchSize'),
          expect.stringContaining('learningRate'),
          expect.stringContaining('totalTokens'),
        ]),
      }) as Error,
    );
  });
});

describe('the normal texts of a run', () => {
  const normal = Array.from({ length: 50 }, (_, i) => ({ ids: Int32Array.of(i, i), mask: Uint8Array.of(0, 1) }));
  it.each(['principled', 'paper'] as const)('are those that its steps draw, each once (%s)', (preset) => {
    const options = { preset, batchSize: 4, epochs: 2, maxSteps: 7, seed: 202 } as ResolvedOptions;
    const draws = normalDraws(50, 4, 202, preset);
    const drawn = new Set(Array.from({ length: 7 }, (_, step) => Array.from(draws.at(step, step % 5))).flat());
    expect(usedNormalTexts(normal, 20, options).map(({ ids }) => ids[0])).toEqual([...drawn].sort((a, b) => a - b));
    expect(usedNormalTexts(normal, 4000, { ...options, maxSteps: null })).toHaveLength(50);
  });
});
