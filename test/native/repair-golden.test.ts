/** Losses, gradients, optimiser steps, choices of blocks and adapters against PyTorch and PEFT: test/golden/repair. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PairRecord } from '../../src/data/record.ts';
import { LanguageModel } from '../../src/model/language-model.ts';
import { mergeAdapter } from '../../src/model/merge-adapter.ts';
import { pack, type TokenSequence } from '../../src/model/sequences.ts';
import { type StepRequest, Trainer } from '../../src/model/trainer.ts';
import { dapt } from '../../src/repair/dapt.ts';
import { dpo } from '../../src/repair/dpo.ts';
import { irepair } from '../../src/repair/irepair.ts';
import type { RepairMethod } from '../../src/repair/method.ts';
import { npo } from '../../src/repair/npo.ts';
import { repair } from '../../src/repair/repair.ts';
import { readSafetensors } from '../safetensors.ts';

const GOLDEN = fileURLToPath(new URL('../golden/repair', import.meta.url));
const HINT = 'regenerate with test/golden/repair/make_repair_golden.py';

interface TokenRecord {
  readonly prompt: number[];
  readonly chosen: number[];
  readonly rejected: number[];
}
const read = async <T>(name: string) => JSON.parse(await readFile(join(GOLDEN, name), 'utf8')) as T;
const load = (name: string) => LanguageModel.load(fileURLToPath(new URL(`../golden/tiny-hf/${name}`, import.meta.url)), { backend: 'cpu' });

const completion = (r: TokenRecord, side: 'chosen' | 'rejected'): TokenSequence => {
  const ids = Int32Array.from([...r.prompt, ...r[side]]);
  return { ids, mask: new Uint8Array(ids.length).fill(1, r.prompt.length) };
};
const whole = (ids: number[]): TokenSequence => ({ ids: Int32Array.from(ids), mask: new Uint8Array(ids.length).fill(1, 1) });
const pair = (r: TokenRecord, i: number): PairRecord => ({
  id: String(i),
  hash: String(i),
  source: `golden:${i}`,
  raw: '',
  prompt: '',
  chosen: '',
  rejected: null,
  promptIds: r.prompt,
  chosenIds: r.chosen,
  rejectedIds: r.rejected,
});

/** Largest |a - b| relative to the largest |b|. */
function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let difference = 0;
  let scale = 0;
  for (let i = 0; i < b.length; i++) {
    difference = Math.max(difference, Math.abs((a[i] as number) - (b[i] as number)));
    scale = Math.max(scale, Math.abs(b[i] as number));
  }
  return difference / scale;
}

/** The reference of the goldens: element i of a tensor of n elements gains 0.02 sin(0.7 i + n mod 7). */
function perturb(model: LanguageModel): LanguageModel {
  const copy = model.copy();
  for (const { name, count } of copy.tensors) {
    const values = new Float32Array(count);
    copy.handle.readTensor(name, values);
    copy.handle.writeTensor(
      name,
      values.map((v, i) => Math.fround(v + Math.fround(0.02 * Math.sin(0.7 * i + (count % 7))))),
    );
  }
  return copy;
}

describe.each(['tiny-gpt2', 'tiny-gpt-neo', 'tiny-gpt-neox'])('losses of %s', (name) => {
  it('equal PyTorch with their gradients, for prompts and completions of unequal length', async () => {
    const golden = await read<{
      beta: number;
      repairWeight: number;
      klWeight: number;
      batch: TokenRecord[];
      texts: number[][];
      losses: Record<string, { loss: number; gradientNorm: number }>;
      sensitivities: number[];
    }>(`losses-${name}.json`);
    const gradients = name === 'tiny-gpt2' ? await readSafetensors(join(GOLDEN, `gradients-${name}.safetensors`)) : new Map();
    using model = await load(name);
    using reference = perturb(model);
    const chosen = golden.batch.map((r) => completion(r, 'chosen'));
    const rejected = golden.batch.map((r) => completion(r, 'rejected'));
    const normal = golden.texts.map(whole);
    const sums = async (sequences: TokenSequence[]) =>
      Float64Array.from(await reference.logProbs(sequences), (row) => row.reduce((a, b) => a + b, 0));
    const referenceHidden = await reference.hidden(normal);
    const requests: Record<string, StepRequest> = {
      ce: { loss: 'ce', chosen: pack(chosen) },
      'ce-sequence-sum': { loss: 'ce', sequenceSum: true, chosen: pack(chosen) },
      dpo: {
        loss: 'dpo',
        beta: golden.beta,
        chosen: pack(chosen),
        rejected: pack(rejected),
        referenceChosen: await sums(chosen),
        referenceRejected: await sums(rejected),
      },
      npo: { loss: 'npo', beta: golden.beta, rejected: pack(rejected), referenceRejected: await sums(rejected) },
    };
    for (const [label, expected] of Object.entries(golden.losses)) {
      const [base = '', direction] = label.split('+kl-');
      // lr 0: the gradient alone
      using trainer = new Trainer(model, { reference });
      const result = await trainer.step({
        ...requests[base],
        weightRepair: direction ? golden.repairWeight : 1,
        ...(direction ? { weightKl: golden.klWeight, klDirection: direction as 'forward', normal: pack(normal), referenceHidden } : {}),
        keepGradients: true,
        lr: 0,
      });
      expect(Math.abs(result.loss / expected.loss - 1), `${label}: ${HINT}`).toBeLessThan(2e-5);
      expect(Math.abs(result.gradientNorm / expected.gradientNorm - 1), `${label}: ${HINT}`).toBeLessThan(5e-5);
      for (const { name: tensor } of trainer.tensors) {
        const stored = gradients.get(`${label}.${tensor}`);
        if (stored) expect(distance(trainer.gradient(tensor), stored.data), `${label}.${tensor}: ${HINT}`).toBeLessThan(2e-4);
      }
    }
    using trainer = new Trainer(model);
    const { sensitivities } = await trainer.step({ loss: 'none', weightRepair: 0, sensitivity: pack(rejected), update: false });
    expect(distance(sensitivities, golden.sensitivities)).toBeLessThan(2e-5);
  });
});

describe('runs', () => {
  it('equal PyTorch step by step, for both optimisers and every method', async () => {
    interface Run {
      model: string;
      method: string;
      optimizer: 'rmsprop' | 'adamw';
      learningRate: number;
      warmup: number;
      data: TokenRecord[];
      texts: number[][];
      log: { loss: number; gradientNorm: number; block: number | null; sensitivities: number[] | null }[];
      checksums: Record<string, [number, number]>;
    }
    const makes: Record<string, (kl: object | undefined) => RepairMethod> = {
      dapt: (kl) => dapt({ kl }),
      dpo: (kl) => dpo({ kl }),
      npo: (kl) => npo({ kl }),
      irepair: (kl) => irepair({ kl }),
    };
    for (const run of await read<Run[]>('runs.json')) {
      const [base = '', kl] = run.method.split('+');
      using model = await load(run.model);
      using reference = model.copy();
      const method = (makes[base] as (kl: object | undefined) => RepairMethod)(kl ? {} : undefined);
      // the trainer itself: the golden loop draws its normal texts in order
      using trainer = new Trainer(model, { reference, optimizer: { kind: run.optimizer } });
      const sums = async (sequences: TokenSequence[]) =>
        Float64Array.from(await reference.logProbs(sequences), (row) => row.reduce((a, b) => a + b, 0));
      for (const [s, expected] of run.log.entries()) {
        const batch = run.data.slice(4 * s, 4 * s + 4);
        const chosen = batch.map((r) => completion(r, 'chosen'));
        const rejected = batch.map((r) => completion(r, 'rejected'));
        const normal = run.texts.slice(4 * s, 4 * s + 4).map(whole);
        const result = await trainer.step({
          loss: method.loss,
          weightRepair: method.repairWeight,
          beta: method.beta,
          chosen: pack(chosen),
          rejected: pack(rejected),
          referenceChosen: await sums(chosen),
          referenceRejected: await sums(rejected),
          ...(method.kl ? { weightKl: method.kl.weight, normal: pack(normal), referenceHidden: await reference.hidden(normal) } : {}),
          ...(base === 'irepair' ? { slice: 'most-sensitive' as const, sensitivity: pack(rejected) } : {}),
          lr: run.learningRate * Math.min(1, (s + 1) / (run.warmup + 1)),
          clipNorm: 0.5,
        });
        const label = `${run.method} ${run.optimizer} step ${s}: ${HINT}`;
        expect(Math.abs(result.loss - expected.loss), label).toBeLessThan(1e-4);
        expect(Math.abs(result.gradientNorm / expected.gradientNorm - 1), label).toBeLessThan(2e-3);
        if (expected.block !== null) expect([...result.blocks], label).toEqual([expected.block]);
        if (expected.sensitivities) expect(distance(result.sensitivities, expected.sensitivities), label).toBeLessThan(2e-3);
      }
      for (const { name, count } of model.tensors) {
        const values = new Float32Array(count);
        model.handle.readTensor(name, values);
        const square = values.reduce((sum, v) => sum + v * v, 0);
        expect(Math.abs(square / (run.checksums[name] as [number, number])[1] - 1), `${run.method} ${run.optimizer} ${name}`).toBeLessThan(
          1e-3,
        );
      }
    }
  });
});

describe('preset paper', () => {
  it('repeats twenty steps of the published order of events', async () => {
    interface PaperRun {
      model: string;
      method: string;
      learningRate: number;
      warmup: number;
      steps: number;
      seed: number;
      data: TokenRecord[];
      validation: TokenRecord[];
      texts: number[][];
      log: { loss: number; lossRepair: number; gradientNorm: number; block: number | null }[];
      curve: { step: number; loss: number }[];
    }
    for (const run of await read<PaperRun[]>('paper.json')) {
      const kl = run.method.endsWith('+kl') ? {} : undefined;
      const base = run.method.split('+')[0];
      const method = base === 'dapt' ? dapt({ kl }) : base === 'dpo' ? dpo({ kl }) : irepair({ kl });
      using model = await load(run.model);
      const result = await repair(
        model,
        { train: run.data.map(pair), validation: run.validation.map(pair), normal: kl && run.texts, appendEos: false },
        method,
        { preset: 'paper', learningRate: run.learningRate, warmupSteps: run.warmup, seed: run.seed },
      );
      expect(result.steps).toBe(run.steps);
      const blocks = result.log.map((l) => l.blocks?.[0] ?? null);
      expect(blocks, `${run.model} ${run.method}: ${HINT}`).toEqual(run.log.map((l) => l.block));
      run.log.forEach((expected, s) => {
        const loss = result.log[s]?.loss as number;
        expect(Math.abs(loss - expected.loss), `${run.model} ${run.method} step ${s}: ${loss}, ${expected.loss}`).toBeLessThan(
          1e-4 * Math.max(1, expected.loss),
        );
      });
      expect(result.validation.map((p) => p.step)).toEqual(run.curve.map((p) => p.step));
      run.curve.forEach((expected, i) => {
        expect(Math.abs((result.validation[i]?.loss as number) - expected.loss)).toBeLessThan(1e-4 * Math.max(1, expected.loss));
      });
    }
  });
});

describe('adapters', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mendset-adapter-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("read PEFT's files, train as PEFT does, merge to the same logits, and write the same files", async () => {
    interface Lora {
      model: string;
      rank: number;
      alpha: number;
      targets: string[];
      batch: TokenRecord[];
      loss: number;
      gradientNorm: number;
      ids: number[];
    }
    for (const golden of await read<Lora[]>('lora.json')) {
      const peft = join(GOLDEN, `lora-${golden.model}`);
      using model = await load(golden.model);
      using trainer = new Trainer(model, { adapter: golden });
      trainer.loadAdapter(join(peft, 'adapter_model.safetensors'));
      const result = await trainer.step({
        loss: 'ce',
        chosen: pack(golden.batch.map((r) => completion(r, 'chosen'))),
        keepGradients: true,
        lr: 0,
      });
      expect(Math.abs(result.loss / golden.loss - 1), HINT).toBeLessThan(1e-5);
      expect(Math.abs(result.gradientNorm / golden.gradientNorm - 1), HINT).toBeLessThan(5e-5);
      const gradients = await readSafetensors(join(peft, 'gradients.safetensors'));
      expect(gradients.size).toBe(trainer.tensors.length);
      for (const { name } of trainer.tensors) {
        const expected = gradients.get(name.replace(/^base_model\.model\./, 'base_model.model.'))?.data as Float32Array;
        expect(distance(trainer.gradient(name), expected), `${golden.model} ${name}: ${HINT}`).toBeLessThan(2e-4);
      }
      const own = join(folder, golden.model);
      await trainer.saveAdapter(own);
      const [written, stored] = await Promise.all([own, peft].map((d) => readSafetensors(join(d, 'adapter_model.safetensors'))));
      expect([...(written?.keys() ?? [])].sort()).toEqual([...(stored?.keys() ?? [])].sort());
      for (const [name, tensor] of stored ?? []) {
        expect(written?.get(name)?.shape, name).toEqual(tensor.shape);
        expect(distance(written?.get(name)?.data as Float32Array, tensor.data), name).toBeLessThan(1e-6);
      }
      using merged = await load(golden.model);
      await mergeAdapter(merged, own);
      const [logits] = await merged.logits([whole(golden.ids)]);
      const expected = (await readSafetensors(join(peft, 'logits.safetensors'))).get('logits')?.data as Float32Array;
      expect(distance(logits?.data as Float32Array, expected), HINT).toBeLessThan(2e-5);
    }
  });
  it('of other kinds than plain LoRA are refused by name', async () => {
    using model = await load('tiny-gpt2');
    await expect(mergeAdapter(model, folder)).rejects.toMatchObject({ code: 'not-found' });
    expect(() => new Trainer(model, { adapter: { rank: 4, alpha: 8, targets: ['q_proj'] } })).toThrowError(
      /q_proj; they are called c_attn/,
    );
    expect(() => new Trainer(model, { adapter: { rank: 400, alpha: 8, targets: [] } })).toThrowError(
      /between 1 and the model's width of 32/,
    );
  });
});
