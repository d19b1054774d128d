// The same seed gives the same bits for any thread count and any step budget: selections, losses, norms, weights, generated text.
import { beforeAll, describe, expect, it } from 'vitest';
import { sha256Hex } from '../../src/core/hash.ts';
import { matrix } from '../../src/core/matrix.ts';
import { RandomStream } from '../../src/core/random.ts';
import { evaluate } from '../../src/evaluate/evaluate.ts';
import type { ToxicityScorer } from '../../src/evaluate/scorer.ts';
import { LanguageModel } from '../../src/model/language-model.ts';
import { completionSequence, pack } from '../../src/model/sequences.ts';
import { Trainer } from '../../src/model/trainer.ts';
import { addon } from '../../src/native/addon.ts';
import type { NativeModel, NativeTask } from '../../src/native/binding.ts';
import { dapt } from '../../src/repair/dapt.ts';
import { dpo } from '../../src/repair/dpo.ts';
import { irepair } from '../../src/repair/irepair.ts';
import { repair } from '../../src/repair/repair.ts';
import { ccs } from '../../src/select/ccs.ts';
import { grand } from '../../src/select/grand.ts';
import { kCenter } from '../../src/select/k-center.ts';
import { kCenterGreedy } from '../../src/select/k-center-greedy.ts';
import { kMeans } from '../../src/select/k-means.ts';
import { pca } from '../../src/select/pca.ts';
import { random } from '../../src/select/random.ts';
import { saps } from '../../src/select/saps.ts';
import type { AnySelector } from '../../src/select/selector.ts';
import { select } from '../../src/study/select-records.ts';
import { byteTokenizer, tinyConfig } from '../byte-tokenizer.ts';
import { pairRecords } from '../pair-records.ts';

const THREADS = [1, 2, 5];
/** Milliseconds of a step: as short as it can be, a few operations, everything at once. */
const BUDGETS = [0.001, 3, 1e9];

/** Odd sizes, so that tiles have remainders and five threads get unequal shares. */
const CONFIG = tinyConfig({ vocab_size: 1031, n_embd: 72, n_head: 6, n_layer: 3, n_positions: 128 });
const create = (threads: number) => LanguageModel.create(CONFIG, { seed: 5, backend: 'cpu', threads, tokenizer: byteTokenizer });

const records = pairRecords(61);
const pool = { records, appendEos: true };
const sequences = records.map((r) =>
  completionSequence(byteTokenizer.encode(r.prompt), byteTokenizer.encode(r.chosen), { total: 128, eos: 256 }),
);
const scorer: ToxicityScorer = {
  identity: { name: 'lengths', version: '1', weightsHash: 'none', labels: ['long'], activation: 'none' },
  score: async (texts) => texts.map((t) => ({ long: (t.length % 17) / 17 })),
};

/** Numbers by their bits: -0 and 0 differ, and no tolerance hides anything. */
function bits(value: unknown): unknown {
  if (typeof value === 'number') return Buffer.from(Float64Array.of(value).buffer).toString('hex');
  if (ArrayBuffer.isView(value)) return sha256Hex(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  if (Array.isArray(value)) return value.map(bits);
  if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, bits(v)]));
  return value;
}

function weights(handle: NativeModel): string[] {
  return handle.tensors().map(({ name, count }) => {
    const values = new Float32Array(count);
    handle.readTensor(name, values);
    return sha256Hex(new Uint8Array(values.buffer));
  });
}

/** The outcome of `work` must not depend on its argument. */
async function expectEqual<A>(values: readonly A[], work: (value: A) => Promise<unknown>): Promise<void> {
  const [first, ...others] = values;
  const expected = bits(await work(first as A));
  for (const other of others) expect(bits(await work(other)), `${other} against ${first}`).toEqual(expected);
}

const rows = 403;
const columns = 19;
const data = Float32Array.from(
  { length: rows * columns },
  (() => {
    const stream = new RandomStream(9, 2);
    return () => Math.fround(stream.uniform() * 2 - 1);
  })(),
);
const points = matrix(data, rows, columns);

describe('for 1, 2 and 5 threads', () => {
  const selectors: Readonly<Record<string, AnySelector>> = {
    random: random() as AnySelector,
    'k-center': kCenter() as AnySelector,
    grand: grand() as AnySelector,
    ccs: ccs() as AnySelector,
    saps: saps({ boundaryRatio: 0.5 }) as AnySelector,
    'k-center, paper': kCenter({ preset: 'paper' }) as AnySelector,
    'saps, paper': saps({ preset: 'paper' }) as AnySelector,
  };
  for (const [name, selector] of Object.entries(selectors)) {
    it(`${name} selects the same records with the same scores`, async () => {
      await expectEqual(THREADS, async (threads) => {
        using model = create(threads);
        const { indices, scores, clusters, quotas, radii, coverage, inertia } = await select(pool, selector, {
          budget: { fraction: 0.5 },
          seed: 43,
          model,
          scorer,
          threads,
          backend: 'cpu',
        });
        expect(indices.length).toBeGreaterThan(20);
        return { indices, scores, clusters, quotas, radii, coverage, inertia };
      });
    });
  }

  it('k-means, K-Center and PCA give the same bits', async () => {
    await expectEqual(THREADS, async (threads) => {
      const projected = await pca(points, { components: 7, threads });
      return [projected, await kMeans(points, { k: 11, seed: 3, threads }), await kCenterGreedy(points, { k: 60, nearest: true, threads })];
    });
  });

  it('losses, log-probabilities, embeddings, logits and gradient norms have the same bits', async () => {
    await expectEqual(THREADS, async (threads) => {
      using model = create(threads);
      return [
        await model.score(sequences),
        await model.logProbs(sequences),
        await model.embed(sequences),
        await model.logits(sequences.slice(0, 5)),
        await model.gradientNorms(sequences, { scores: true }),
      ];
    });
  });

  it('scores beside gradient norms have the bits of scores alone', async () => {
    using model = create(2);
    const { scores, ...norms } = await model.gradientNorms(sequences, { scores: true });
    expect(bits(scores)).toEqual(bits(await model.score(sequences)));
    expect(bits(norms)).toEqual(bits(await model.gradientNorms(sequences)));
  });

  it('greedy and sampled text is the same', async () => {
    const prompts = sequences.map((s) => s.ids);
    await expectEqual(THREADS, async (threads) => {
      using model = create(threads);
      return [
        await model.generate(prompts, { maxNewTokens: 12, greedy: true }),
        await model.generate(prompts, { maxNewTokens: 12, topP: 0.9, temperature: 0.8, seed: 7, samples: 2 }),
      ];
    });
  });

  for (const method of [dapt(), dapt({ kl: {} }), dpo(), irepair(), irepair({ kl: {} })]) {
    it(`${method.name}${method.kl ? ' with KL' : ''} takes the same steps and ends with the same weights`, async () => {
      await expectEqual(THREADS, async (threads) => {
        using model = create(threads);
        const result = await repair(
          model,
          { train: records.slice(0, 24), validation: records.slice(24, 32), normal: records.map((r) => r.chosen), appendEos: true },
          method,
          { learningRate: 1e-3, warmupSteps: 2, evalEvery: 8, seed: 202 },
        );
        return [result.log, result.validation, result.blockCounts, weights(model.handle)];
      });
    });
  }

  it('evaluation gives the same figures and intervals', async () => {
    await expectEqual(THREADS, async (threads) => {
      using model = create(threads);
      const { figures, toxicity } = await evaluate(model, {
        prompts: records.map((r) => r.prompt),
        scorer,
        runningText: records.map((r) => r.prompt + r.chosen),
        lambada: records.map((r) => r.prompt + r.chosen),
        perplexity: { stride: 50 },
      });
      return [figures, toxicity?.records, toxicity?.interval];
    });
  });
});

describe('for steps of 0.001 ms, 3 ms and any length', () => {
  let model: LanguageModel;
  beforeAll(() => {
    model = create(2);
  });

  async function drive(task: NativeTask, budgetMs: number): Promise<number> {
    for (let steps = 1; ; steps++) {
      if ((await task.step(budgetMs)).finished) return steps;
    }
  }

  /** Every budget leads to the same outcome, and the shortest one really does end a step before the work is done. */
  async function expectSteps(make: () => { task: NativeTask; outcome: () => unknown }): Promise<void> {
    const steps: number[] = [];
    await expectEqual(BUDGETS, async (budget) => {
      const { task, outcome } = make();
      steps.push(await drive(task, budget));
      const result = bits(outcome());
      task.dispose();
      return result;
    });
    expect(steps[0]).toBeGreaterThan(1);
    expect(steps.at(-1)).toBe(1);
  }

  const batch = pack(sequences.slice(0, 24));
  const tokens = batch.ids.length;

  it('scores', () =>
    expectSteps(() => {
      const out = {
        logProb: new Float64Array(tokens),
        el2n: new Float64Array(tokens),
        argmax: new Int32Array(tokens),
        embedding: new Float32Array(24 * 72),
      };
      return { task: addon().scoreTask(model.handle, batch, out), outcome: () => out };
    }));

  it('gradients and gradient norms', async () => {
    await expectSteps(() => {
      const squares = new Float64Array(24 * model.tensors.length);
      return { task: addon().gradientNormTask(model.handle, batch, true, -1, squares), outcome: () => squares };
    });
    await expectSteps(() => {
      const loss = new Float64Array(1);
      const gradients = model.tensors.map((t) => new Float32Array(t.count));
      return { task: addon().gradientTask(model.handle, batch, loss, gradients), outcome: () => [loss, gradients] };
    });
  });

  it('generated text', () =>
    expectSteps(() => {
      const ids = new Int32Array(24 * 10);
      const lengths = new Int32Array(24);
      const stopped = new Uint8Array(24);
      const options = {
        maxNewTokens: 10,
        greedy: false,
        temperature: 1,
        topP: 0.9,
        topK: 0,
        eos: 256,
        seed: 4n,
        subs: new Uint32Array(24).map((_, i) => i),
      };
      return { task: addon().generateTask(model.handle, batch, options, ids, lengths, stopped), outcome: () => [ids, lengths, stopped] };
    }));

  it('training steps', () =>
    expectSteps(() => {
      const handle = model.handle.copy();
      const trainer = addon().createTrainer(handle, model.handle, { kind: 'adamw' }, null);
      const task = trainer.stepTask({
        loss: 'ce',
        weightRepair: 0.5,
        weightKl: 0,
        sequenceSum: false,
        chosen: batch,
        beta: 0.1,
        klDirection: 'forward',
        slice: 'most-sensitive',
        sliceCount: 2,
        keepGradients: false,
        sensitivity: pack(sequences.slice(30, 50)),
        update: true,
        gradientNorm: false,
        lr: 1e-3,
        clipNorm: 0.5,
      });
      return { task, outcome: () => [task.result(), weights(handle)] };
    }));

  it('k-means, K-Center and PCA', async () => {
    const x = { data, rows, columns };
    await expectSteps(() => {
      const task = addon().kMeansTask(x, { k: 11, maxIterations: 50, restarts: 2, seed: 3n }, 'cpu', 2);
      return { task, outcome: () => task.result() };
    });
    await expectSteps(() => {
      const task = addon().kCenterTask(x, { k: 200, first: 0, excludeTaken: true, wantNearest: true }, 'cpu', 2);
      return { task, outcome: () => task.result() };
    });
    await expectSteps(() => {
      const task = addon().pcaTask(x, { components: 7, targetVariance: 0 }, 'cpu', 2);
      return { task, outcome: () => task.result() };
    });
  });

  it('an aborted step that changed nothing leaves a trainer usable', async () => {
    using copy = model.copy();
    using trainer = new Trainer(copy);
    const before = weights(copy.handle);
    const abort = new AbortController();
    abort.abort();
    await expect(trainer.step({ chosen: batch, lr: 1e-3 }, { signal: abort.signal })).rejects.toMatchObject({ code: 'aborted' });
    expect(trainer.poisoned).toBe(false);
    expect(weights(copy.handle)).toEqual(before);
  });
});
