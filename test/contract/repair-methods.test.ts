import { symlinkSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sha256Hex } from '../../src/core/hash.ts';
import { LanguageModel } from '../../src/model/language-model.ts';
import { dapt } from '../../src/repair/dapt.ts';
import { dpo } from '../../src/repair/dpo.ts';
import { irepair } from '../../src/repair/irepair.ts';
import { methodLabel, type RepairMethod } from '../../src/repair/method.ts';
import { generateNormal } from '../../src/repair/normal-texts.ts';
import { npo } from '../../src/repair/npo.ts';
import type { RepairOptions } from '../../src/repair/options.ts';
import { ReferenceCache } from '../../src/repair/reference-cache.ts';
import { repair } from '../../src/repair/repair.ts';
import type { RepairData } from '../../src/repair/repair-data.ts';
import { type RepairResult, repairJson, sensitivityTable } from '../../src/repair/result.ts';
import { sft } from '../../src/repair/sft.ts';
import { byteTokenizer, tinyConfig } from '../byte-tokenizer.ts';
import { pairRecord, pairRecords } from '../pair-records.ts';

/** Each method with its own weights, and with a low-rank adapter in their place. */
const METHODS: readonly (readonly [string, RepairMethod, RepairOptions])[] = [
  dapt(),
  dapt({ kl: {} }),
  sft(),
  dpo(),
  dpo({ kl: { weight: 0.5 } }),
  npo(),
  npo({ kl: {} }),
  irepair(),
  irepair({ blocks: 2 }),
  irepair({ kl: { direction: 'reverse' } }),
].flatMap((method) => {
  const label =
    method.slice.kind !== 'all' && method.slice.count > 1 ? `${methodLabel(method)}, ${method.slice.count} blocks` : methodLabel(method);
  return [[label, method, {}] as const, [`${label}, LoRA`, method, { lora: { rank: 4 }, learningRate: 1e-2 }] as const];
});

const data: RepairData = {
  train: pairRecords(32),
  validation: pairRecords(8, 500),
  normal: Array.from({ length: 24 }, (_, i) => `Plain text number ${i * 7} about the weather.`),
  appendEos: true,
};
const quick: RepairOptions = { learningRate: 2e-3, warmupSteps: 2, evalEvery: 8 };

const create = (threads = 0) => LanguageModel.create(tinyConfig(), { seed: 11, backend: 'cpu', threads, tokenizer: byteTokenizer });

function weights(model: LanguageModel): Map<string, string> {
  return new Map(
    model.tensors.map(({ name, count }) => {
      const values = new Float32Array(count);
      model.handle.readTensor(name, values);
      return [name, sha256Hex(new Uint8Array(values.buffer))];
    }),
  );
}

async function run(
  method: RepairMethod,
  options: RepairOptions = {},
  threads = 0,
): Promise<{ result: RepairResult; weights: Map<string, string> }> {
  using model = create(threads);
  const result = await repair(model, data, method, { ...quick, ...options });
  return { result, weights: weights(model) };
}

const plain = ({ result }: { result: RepairResult }) => ({
  log: result.log,
  validation: result.validation,
  fingerprint: result.fingerprint,
});

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mendset-repair-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe.each(METHODS)('%s', (_, method, own) => {
  it('lowers its loss on records it has not seen', async () => {
    const { result } = await run(method, { ...own, epochs: 2 });
    expect(result.stoppedBecause).toBe('epochs');
    expect(result).toMatchObject({ steps: 16, examples: 64, epochs: 2 });
    expect(result.validation).toHaveLength(8);
    expect(result.bestLoss).toBeLessThan(result.validation[0]?.loss as number);
    expect(result.log.every((l) => Number.isFinite(l.loss) && l.gradientNorm > 0)).toBe(true);
    if (method.loss === 'dpo') expect(result.log[0]?.lossRepair).toBeCloseTo(Math.LN2, 5);
    if (method.loss === 'npo') expect(result.log[0]?.lossRepair).toBeCloseTo((2 / 0.1) * Math.LN2, 4);
    if (method.kl) expect(result.log[0]?.lossKl).toBeCloseTo(0, 5);
    expect(result.cost.flopsCounted).toBeGreaterThan(0);
    expect(JSON.parse(repairJson(result)).label).toBe(methodLabel(method));
  });

  it('gives the same bits for a seed and any thread count', async () => {
    const one = await run(method, { ...own, maxSteps: 4 }, 1);
    for (const threads of [2, 5]) {
      const other = await run(method, { ...own, maxSteps: 4 }, threads);
      expect(plain(other)).toEqual(plain(one));
      expect(other.weights).toEqual(one.weights);
    }
    const otherSeed = await run(method, { ...own, maxSteps: 4, seed: 203 }, 1);
    expect(otherSeed.weights).not.toEqual(one.weights);
  });

  it('continues an interrupted run bit for bit', async () => {
    const options = { ...own, keep: 'best' as const, checkpoint: { directory: join(folder, 'state'), everySteps: 100 } };
    const whole = await run(method, options);
    await rm(options.checkpoint.directory, { recursive: true, force: true });
    const controller = new AbortController();
    await expect(
      run(method, { ...options, signal: controller.signal, onStep: (l) => void (l.step === 4 && controller.abort()) }),
    ).rejects.toMatchObject({ code: 'aborted' });
    expect((await readdir(options.checkpoint.directory)).sort()).toContain('state.json');
    const resumed = await run(method, { ...options, resume: true });
    expect(resumed.result.resumedAt).toBe(5);
    expect(plain(resumed)).toEqual(plain(whole));
    expect(resumed.weights).toEqual(whole.weights);
  });

  it('returns the best weights, or the last ones on request', async () => {
    // A learning rate that is far too high makes validation worse after a while.
    const wild = { ...own, learningRate: own.lora ? 0.3 : 5e-2, warmupSteps: 8, evalEvery: 4, patience: 2, epochs: 3 };
    const best = await run(method, wild);
    const bestStep = best.result.bestStep as number;
    expect(best.result.validation.find((p) => p.step === bestStep)?.loss).toBe(Math.min(...best.result.validation.map((p) => p.loss)));
    expect(best.result.keptStep).toBe(bestStep);
    expect(best.weights).toEqual((await run(method, { ...wild, maxSteps: bestStep, keep: 'last' })).weights);
    if (best.result.stoppedBecause === 'patience') expect(best.result.validation.slice(-2).every((p) => !p.best)).toBe(true);
  });
});

describe('early stopping', () => {
  it('stops when validation no longer improves', async () => {
    const { result } = await run(dapt(), { learningRate: 0.5, warmupSteps: 0, evalEvery: 4, patience: 2, epochs: 10 });
    expect(result.stoppedBecause).toBe('patience');
    expect(result.steps).toBeLessThan(80);
    expect(result.earlyStoppingPossible).toBe(true);
  });
  it('says so when the run is too short for it', async () => {
    const { result } = await run(dapt(), { maxSteps: 3 });
    expect(result.earlyStoppingPossible).toBe(false);
    expect(result.warnings.join()).toMatch(/inert/);
  });
});

describe('irepair', () => {
  it('changes blocks alone, one in each step', async () => {
    using model = create();
    const before = weights(model);
    const blockOf = new Map(model.tensors.map((t) => [t.name, t.block]));
    const result = await repair(model, data, irepair(), { ...quick, keep: 'last' });
    expect(result.blockCounts.reduce((a, b) => a + b, 0)).toBe(result.steps);
    expect(result.sensitivities).toHaveLength(3);
    for (const [name, hash] of weights(model)) {
      const block = blockOf.get(name) as number;
      const changed = block >= 0 && (result.blockCounts[block] as number) > 0;
      expect([name, hash !== before.get(name)]).toEqual([name, changed]);
    }
  });
  it('can be held to one block, to the most sensitive one of the run, or to the least sensitive one', async () => {
    expect((await run(irepair({ slice: 1 }), { maxSteps: 3 })).result.blockCounts).toEqual([0, 3, 0]);
    const fixed = (await run(irepair({ slice: 'fixed' }), { maxSteps: 3 })).result;
    expect(Math.max(...fixed.blockCounts)).toBe(3);
    expect(fixed.slice).toMatchObject({ kind: 'fixed', blocks: [fixed.blockCounts.indexOf(3)] });
    const least = (await run(irepair({ slice: 'least-sensitive' }), { maxSteps: 1 })).result;
    expect(least.log[0]?.blocks).toEqual([least.sensitivities.indexOf(Math.min(...least.sensitivities))]);
    const most = (await run(irepair(), { maxSteps: 1 })).result;
    expect(most.log[0]?.blocks).toEqual([most.sensitivities.indexOf(Math.max(...most.sensitivities))]);
    await expect(run(irepair({ slice: 7 }))).rejects.toThrowError(/between 0 and 2/);
  });
});

describe('kl', () => {
  it('keeps the model nearer to the original', async () => {
    const normal = data.normal?.slice(0, 8).map((t) => byteTokenizer.encode(t as string)) ?? [];
    const sequences = normal.map((ids) => ({ ids, mask: new Uint8Array(ids.length).fill(1, 1) }));
    const drift = async (method: RepairMethod) => {
      using model = create();
      const before = await model.logProbs(sequences);
      await repair(model, data, method, { ...quick, epochs: 2, keep: 'last' });
      const after = await model.logProbs(sequences);
      return before.reduce((sum, row, i) => sum + row.reduce((s, v, t) => s + Math.abs(v - (after[i]?.[t] as number)), 0), 0);
    };
    expect(await drift(dapt({ kl: { weight: 20 } }))).toBeLessThan(await drift(dapt()));
  });
  it('needs normal texts, given or generated', async () => {
    using model = create();
    const without = { ...data, normal: undefined };
    await expect(repair(model, without, dapt({ kl: {} }), quick)).rejects.toMatchObject({ code: 'invalid-data' });
    const result = await repair(model, without, dapt({ kl: {} }), { ...quick, maxSteps: 2, generateNormal: { count: 12 } });
    expect(result.warnings.join()).toMatch(/not filtered/);
  });
  it('drops toxic generated texts, and samples the same ones again', async () => {
    using model = create();
    const all = await generateNormal(model, { count: 10, seed: 3 });
    expect((await generateNormal(model, { count: 10, seed: 3 })).ids).toEqual(all.ids);
    const odd = await generateNormal(model, { count: 10, seed: 3, score: async (texts) => texts.map((_, i) => (i % 2 ? 0.9 : null)) });
    expect(odd.toxicDropped).toBe(Math.floor(all.ids.length / 2));
  });
});

describe('references', () => {
  const ids = (text: string) => [...byteTokenizer.encode(text)];
  const tokenised = (records: RepairData['train']) =>
    records.map((r) => ({ ...r, promptIds: ids(r.prompt), chosenIds: ids(r.chosen), rejectedIds: ids(r.rejected ?? '') }));
  const idData: RepairData = {
    train: tokenised(data.train),
    validation: tokenised(data.validation),
    normal: data.normal?.map((t) => ids(t as string)),
    appendEos: true,
  };
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mendset-references-'));
    using model = create();
    await model.save(join(folder, 'model'));
  });
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });
  const load = () => LanguageModel.load(join(folder, 'model'), { backend: 'cpu' });

  it('are computed once for all runs on a model and do not change a bit', async () => {
    const references = new ReferenceCache();
    const once = async (cache: ReferenceCache) => {
      using model = await load();
      await repair(model, idData, dpo({ kl: {} }), { ...quick, references: cache, maxSteps: 4 });
      expect(model.hash).toBeNull();
      return weights(model);
    };
    const first = await once(references);
    const tokens = references.computedTokens;
    expect(tokens).toBeGreaterThan(1000);
    expect(await once(references)).toEqual(first);
    expect(references.computedTokens).toBe(tokens);
    using inFiles = new ReferenceCache({ maxBytes: 0 });
    expect(await once(inFiles)).toEqual(first);
  });
  it('of another model are refused, and weights without a hash neither use nor fill them', async () => {
    const references = new ReferenceCache();
    using model = await load();
    await repair(model, idData, dpo(), { ...quick, references, maxSteps: 2 });
    const tokens = references.computedTokens;
    // these weights have changed: what the original said is not what they would say
    const second = await repair(model, idData, dpo(), { ...quick, references, maxSteps: 2 });
    expect(references.computedTokens).toBe(tokens);
    expect(second.log[0]?.lossRepair).toBeCloseTo(Math.log(2), 6); // policy and reference agree at the first step
    await model.save(join(folder, 'other'));
    using other = await LanguageModel.load(join(folder, 'other'));
    await expect(repair(other, idData, dpo(), { ...quick, references })).rejects.toThrowError(/one cache for each model/);
  });
  it('a resumed run ends without the hash of the model it began with', async () => {
    const checkpoint = { directory: join(folder, 'state') };
    const abort = new AbortController();
    using begun = await load();
    const options = { ...quick, checkpoint, onStep: () => abort.abort() };
    await expect(repair(begun, idData, dapt(), { ...options, signal: abort.signal })).rejects.toMatchObject({ code: 'aborted' });
    using resumed = await load();
    expect(resumed.hash).not.toBeNull();
    await repair(resumed, idData, dapt(), { ...quick, checkpoint, resume: true });
    expect(resumed.hash).toBeNull();
  });
});

describe('budgets and logs', () => {
  it('of equal steps pass over a small set as often as needed', async () => {
    const { result } = await run(dapt(), { steps: 11 });
    expect(result).toMatchObject({ steps: 11, examples: 44, stoppedBecause: 'max-steps' });
    await expect(run(dapt(), { steps: 11, epochs: 2 })).rejects.toThrowError(/budget of its own/);
  });
  it('write each step and validation as it happens', async () => {
    const jsonl = join(folder, 'log.jsonl');
    const { result } = await run(irepair({ kl: {} }), { log: { jsonl, tensorboard: join(folder, 'events') } });
    const lines = (await readFile(jsonl, 'utf8'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.filter((l) => l.kind === 'step')).toHaveLength(result.steps);
    expect(lines.filter((l) => l.kind === 'validation')).toHaveLength(result.validation.length);
    expect(lines[0]).toMatchObject({ kind: 'step', step: 0, loss: result.log[0]?.loss, blocks: result.log[0]?.blocks });
    expect(lines[0].tokensPerSecond).toBeGreaterThan(0);
    expect(lines[0].memoryBytes).toBeGreaterThan(1e6);
    expect(await readdir(join(folder, 'events'))).toHaveLength(1);
    const table = sensitivityTable(result);
    expect(table).toHaveLength(3);
    expect(table.reduce((sum, row) => sum + row.steps, 0)).toBe(result.steps);
    expect(table.every((row) => (row.initial as number) > 0 && (row.mean as number) > 0)).toBe(true);
  });
});

describe('orders, presets and optimisers', () => {
  it('train in selection or pool order', async () => {
    const poolIndices = data.train.map((_, i) => data.train.length - i);
    using a = create();
    using b = create();
    await repair(a, { ...data, poolIndices }, dapt(), { ...quick, order: 'pool' });
    await repair(b, { ...data, train: [...data.train].reverse() }, dapt(), { ...quick, order: 'selection' });
    expect(weights(a)).toEqual(weights(b));
    await expect(repair(a, data, dapt(), { order: 'pool' })).rejects.toThrowError(/poolIndices/);
  });
  it('follow the paper preset', async () => {
    for (const method of [dapt(), dpo(), irepair({ kl: {} })]) {
      const { result } = await run(method, { preset: 'paper', evalEvery: 12 });
      expect(result.validation.map((p) => p.examples)).toEqual([12, 24]);
      expect(result.keptStep).toBe(result.bestStep);
    }
  });
  it('can use AdamW', async () => {
    const { result } = await run(dapt(), { optimizer: { kind: 'adamw' }, epochs: 2 });
    expect(result.bestLoss).toBeLessThan(result.validation[0]?.loss as number);
  });
});

describe('mistakes', () => {
  it('are found before any step', async () => {
    using model = create();
    const before = weights(model);
    const train = [...data.train, pairRecord({ prompt: 'a', chosen: 'b' })];
    await expect(repair(model, { ...data, train }, dpo(), quick)).rejects.toMatchObject({ code: 'invalid-data' });
    await expect(
      repair(model, data, dapt(), { ...quick, resume: true, checkpoint: { directory: join(folder, 'none') } }),
    ).rejects.toMatchObject({ code: 'not-found' });
    await expect(repair(model, data, dapt(), { batchSize: 0 })).rejects.toMatchObject({ code: 'invalid-argument' });
    expect(weights(model)).toEqual(before);
  });
  it('include the state of another run', async () => {
    const checkpoint = { directory: join(folder, 'state'), everySteps: 2 };
    await run(dapt(), { checkpoint, maxSteps: 4 });
    await expect(run(dapt(), { checkpoint, maxSteps: 4, seed: 1, resume: true })).rejects.toThrowError(/belong to this run/);
  });
  it('are one sentence each: no validation, too few records, a reference of another vocabulary', async () => {
    using model = create();
    await expect(repair(model, { ...data, validation: [] }, dapt(), quick)).rejects.toMatchObject({
      code: 'invalid-data',
      message: expect.stringMatching(/no usable validation record of 0 .* keep to 'last'/),
    });
    const last = await repair(model, { ...data, validation: [] }, dapt(), { ...quick, keep: 'last', maxSteps: 1 });
    expect(last.warnings.join()).toMatch(/no validation records/);
    await expect(repair(model, { ...data, train: data.train.slice(0, 3) }, dapt(), quick)).rejects.toMatchObject({
      code: 'invalid-data',
      message: expect.stringMatching(/only 3 of 3 training records are usable and a step takes 4/),
    });
    using other = LanguageModel.create(tinyConfig({ vocab_size: 300 }), { seed: 1, backend: 'cpu' });
    await expect(repair(model, data, dapt({ kl: {} }), { ...quick, reference: other })).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringMatching(/vocabulary of 300 where the model has 257/),
    });
  });
  it('a full disk is one error, and the last state is still there to resume', async () => {
    const directory = join(folder, 'state');
    const options = { checkpoint: { directory, everySteps: 3 } };
    const whole = await run(irepair(), {});
    // the device that answers every write with ENOSPC, where the second state's optimiser file is about to be written
    const fill = () => symlinkSync('/dev/full', join(directory, `optimizer-6.safetensors.${process.pid}.incomplete`));
    await expect(run(irepair(), { ...options, onStep: (l) => void (l.step === 4 && fill()) })).rejects.toMatchObject({
      code: 'io',
      message: expect.stringMatching(/No space left on device.*the state of step 3 is kept in .*resume/),
    });
    expect(JSON.parse(await readFile(join(directory, 'state.json'), 'utf8')).state.step).toBe(3);
    const resumed = await run(irepair(), { ...options, resume: true });
    expect(resumed.result.resumedAt).toBe(3);
    expect(resumed.weights).toEqual(whole.weights);
  });
  it('of a diverging run with a checkpoint keep the state from before', async () => {
    using model = create();
    const checkpoint = { directory: join(folder, 'state'), everySteps: 1 };
    const wild = { ...quick, learningRate: 1e38, warmupSteps: 0, clipNorm: 0, evalEvery: 4, epochs: 4, checkpoint };
    await expect(repair(model, data, dapt(), wild)).rejects.toMatchObject({
      code: 'non-finite',
      message: expect.stringMatching(/a state from before is kept in/),
    });
    expect(await readdir(checkpoint.directory)).toContain('state.json');
  });
  it('end a diverging run with its best weights', async () => {
    using model = create();
    const error = repair(model, data, dapt(), { ...quick, learningRate: 1e38, warmupSteps: 0, clipNorm: 0, evalEvery: 4, epochs: 4 });
    await expect(error).rejects.toMatchObject({ code: 'non-finite' });
  });
});

describe.each(['tiny-gpt2', 'tiny-gpt-neo', 'tiny-gpt-neox'])('%s', (name) => {
  it('is repaired from token ids, saved and read back', async () => {
    const ids = (text: string) => [...byteTokenizer.encode(text)];
    const tokenised = (records: RepairData['train']) =>
      records.map((r) => ({
        ...r,
        prompt: '',
        chosen: '',
        rejected: null,
        promptIds: ids(r.prompt),
        chosenIds: ids(r.chosen),
        rejectedIds: ids(r.rejected ?? ''),
      }));
    using model = await LanguageModel.load(fileURLToPath(new URL(`../golden/tiny-hf/${name}`, import.meta.url)), { backend: 'cpu' });
    const result = await repair(
      model,
      { ...data, train: tokenised(data.train), validation: tokenised(data.validation), normal: data.normal?.map((t) => ids(t as string)) },
      irepair({ kl: {} }),
      { ...quick, epochs: 2 },
    );
    expect(result.bestLoss).toBeLessThan(result.validation[0]?.loss as number);
    const directory = join(folder, 'repaired');
    await model.save(directory);
    using stored = await LanguageModel.load(directory, { backend: 'cpu' });
    expect(weights(stored)).toEqual(weights(model));
    expect((await readdir(directory)).sort()).toEqual(['config.json', 'generation_config.json', 'model.safetensors']);
  });
});
