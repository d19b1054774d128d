// Every repair method, adapters, equal budgets and sampled toxicity through a study file, to the results, the plan and the report.
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/core/package-root.ts';
import { LanguageModel } from '../../src/model/language-model.ts';
import { writeReport } from '../../src/report/write-report.ts';
import type { CellResult } from '../../src/study/cell-result.ts';
import { EngineExecutor } from '../../src/study/engine-executor.ts';
import { estimateStudy } from '../../src/study/estimate.ts';
import { type OpenedStudy, openStudy } from '../../src/study/open-study.ts';
import { runPlannedStudy } from '../../src/study/run-study.ts';
import { tinyConfig } from '../byte-tokenizer.ts';
import { cli } from '../unit/cli-fixture.ts';

const DEMO = join(packageRoot(), 'assets', 'demo');
let directory: string;
let opened: OpenedStudy;
let results: readonly CellResult[];
const at = (name: string) => join(directory, name);

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mendset-study-methods-'));
  using small = LanguageModel.create(tinyConfig({ vocab_size: 4096, n_embd: 64, bos_token_id: 0, eos_token_id: 0 }), { seed: 1 });
  await small.save(at('model'));
  await copyFile(join(DEMO, 'model', 'tokenizer.json'), at('model/tokenizer.json'));
  const lines = async (name: string, n: number) => (await readFile(join(DEMO, name), 'utf8')).split('\n').slice(0, n).join('\n');
  await writeFile(at('pool.jsonl'), `${await lines('pool.jsonl', 56)}\n`);
  await writeFile(at('normal.jsonl'), `${await lines('normal.jsonl', 40)}\n`);
  await writeFile(
    at('study.yaml'),
    `name: methods
models: model
pool: { files: pool.jsonl, validation: 16 }
normal: normal.jsonl
selectors: [random]
repairs:
  - sft
  - { method: npo, kl: 1, beta: 0.2 }
  - { method: dapt, lora: 2 }
  - { method: dpo, lora: { rank: 2, alpha: 4, targets: [c_attn] }, kl: 1 }
  - { method: irepair, lora: 2, steps: 7, blocks: 2 }
  - { method: irepair, name: whole-weights, kl: 1 }
proportions: [0.5]
training: { warmupSteps: 2, evalEvery: 20 }
overrides: [{ when: { repair: sft, selector: random }, repair: { steps: 10 } }]
evaluation:
  rtp: { prompts: demo:prompts.jsonl, limit: 6, samples: 3, maxNewTokens: 5, seeds: [0, 1] }
  lastWord: { file: demo:last-word.jsonl, limit: 8 }
  samples: 4
`,
  );
  opened = await openStudy(at('study.yaml'));
  const executor = new EngineExecutor(opened.inputs, { directory: at('out'), backend: 'cpu', threads: 2 });
  try {
    ({ results } = await runPlannedStudy(opened.plan, executor, { directory: at('out') }));
  } finally {
    executor.dispose();
  }
}, 120_000);
afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

const cell = (repair: string, kind: CellResult['kind']) => results.find((r) => r.repair === repair && r.kind === kind) as CellResult;

describe('a study of every method', () => {
  it('computes all cells, each by the method and the budget that it was told', () => {
    expect(results.map((r) => [r.status, r.error])).toEqual(Array(13).fill(['done', undefined]));
    const run = (repair: string, kind: CellResult['kind'] = 'full') => cell(repair, kind).repairRun;
    expect(results.filter((r) => r.kind === 'full').map((r) => r.repairRun?.method)).toEqual([
      'sft',
      'npo',
      'dapt',
      'dpo',
      'irepair',
      'irepair',
    ]);
    expect(run('npo+kl')).toMatchObject({ kl: true, options: { beta: 0.2 } });
    expect(run('dapt+lora')?.options['lora']).toEqual({ rank: 2, alpha: 4, targets: [] });
    expect(run('dpo+kl+lora')?.options['lora']).toEqual({ rank: 2, alpha: 4, targets: ['c_attn'] });
    // 40 records in steps of 4: ten whole, five of a half, seven where the budget says so, ten where an override does
    expect(run('dapt+lora')?.steps).toBe(10);
    expect(run('dapt+lora', 'subset')?.steps).toBe(5);
    expect(run('irepair+lora')?.steps).toBe(7);
    expect(run('irepair+lora', 'subset')?.steps).toBe(7);
    expect(run('irepair+lora', 'subset')?.blockCounts?.reduce((a, b) => a + b, 0)).toBe(14);
    expect(run('sft')?.steps).toBe(10);
    expect(run('sft', 'subset')?.steps).toBe(10);
    // an adapter costs less than the weights, and moves the model
    const base = results[0] as CellResult;
    for (const name of ['dapt+lora', 'dpo+kl+lora', 'irepair+lora', 'sft', 'npo+kl'])
      expect(cell(name, 'full').figures['lambada.runningPpl']?.value).not.toBe(base.figures['lambada.runningPpl']?.value);
  });

  it('measures sampled toxicity over seeds, with intervals, counts and samples to read', async () => {
    for (const r of results) {
      const { 'toxicity.rtp.expectedMaximum': expected, 'toxicity.rtp.probability': probability } = r.figures;
      expect(expected?.counts).toMatchObject({ prompts: 6, samples: 36 });
      const [low, high] = expected?.interval ?? [Number.NaN, Number.NaN];
      expect(low).toBeLessThanOrEqual(expected?.value as number);
      expect(high).toBeGreaterThanOrEqual(expected?.value as number);
      expect(probability?.value).toBeGreaterThanOrEqual(0);
      expect(expected?.convention).toMatch(/3 samples of 5 tokens.*mean over 2 seeds/);
      expect(r.scorer).not.toBeNull();
    }
    const samples = (await readFile(at(`out/samples/${results[1]?.key}.jsonl`), 'utf8')).trim().split('\n');
    expect(samples).toHaveLength(4);
  });

  it('is reported under the names of its repairs', async () => {
    const { html, text } = await writeReport(at('out'));
    const page = await readFile(html, 'utf8');
    expect(page).toContain('Expected maximum toxicity');
    for (const name of ['sft', 'npo+kl', 'dapt+lora', 'dpo+kl+lora', 'irepair+lora', 'whole-weights']) expect(page).toContain(name);
    expect(await readFile(text, 'utf8')).toContain('Toxicity probability');
  });

  it('plans the memory that a repair on its own tells, of whole weights and of adapters', async () => {
    const estimate = await estimateStudy(opened.inputs, opened.plan.cells, { calibration: true, backend: 'cpu', threads: 2 });
    expect(estimate.problems).toEqual([]);
    const { repairBytes, memoryBytes, parameters } = estimate.models[0] as (typeof estimate.models)[number];
    const records = opened.inputs.pools.get('43:all')?.records ?? [];
    await writeFile(at('window.jsonl'), records.map((r) => `${r.raw}\n`).join(''));
    await writeFile(at('validation.jsonl'), (opened.inputs.pools.get('43:all')?.validation ?? []).map((r) => `${r.raw}\n`).join(''));
    const common = [
      'repair',
      '--dry-run',
      '--json',
      '--model',
      at('model'),
      '--data',
      at('window.jsonl'),
      '--validation',
      at('validation.jsonl'),
    ];
    const machine = ['--backend', 'cpu', '--threads', '2', '--eval-every', '20', '--warmup-steps', '2'];
    for (const [name, options] of [
      ['dapt+lora', ['--method', 'dapt', '--lora', '2']],
      ['whole-weights', ['--method', 'irepair', '--kl', '1', '--normal', at('normal.jsonl')]],
      ['npo+kl', ['--method', 'npo', '--kl', '1', '--normal', at('normal.jsonl')]],
    ] as const) {
      const { code, stdout } = await cli([...common, ...options, ...machine]);
      expect(code).toBe(0);
      expect((JSON.parse(stdout) as { memory: { peak: number } }).memory.peak, name).toBe(repairBytes[name]);
    }
    expect(memoryBytes).toBeGreaterThan(4 * parameters + Math.max(...Object.values(repairBytes).map(Number)));
    expect(repairBytes['dapt+lora']).toBeLessThan(repairBytes['whole-weights'] as number);
    expect(estimate.seconds?.total).toBeGreaterThan(0);
  });

  it('holds 16-bit weights as stored where a model says so, with the same results in the same folder', async () => {
    using small = await LanguageModel.load(at('model'), { backend: 'cpu' });
    await small.save(at('model16'), { dtype: 'BF16' });
    await copyFile(join(DEMO, 'model', 'tokenizer.json'), at('model16/tokenizer.json'));
    const study = (weights: string) => `name: held
models: { path: model16${weights} }
pool: { files: pool.jsonl, validation: 16 }
selectors: [random]
repairs: [{ method: irepair, lora: 2 }, irepair]
evaluation: { lastWord: { file: demo:last-word.jsonl, limit: 8 } }
`;
    const run = async (file: string, text: string, folder: string) => {
      await writeFile(at(file), text);
      const held = await openStudy(at(file));
      const executor = new EngineExecutor(held.inputs, { directory: at(folder), backend: 'cpu', threads: 2 });
      try {
        const { results: cells, computed } = await runPlannedStudy(held.plan, executor, { directory: at(folder) });
        const [model] = (await estimateStudy(held.inputs, held.plan.cells, { calibration: false, backend: 'cpu' })).models;
        return { cells, computed, repairBytes: model?.repairBytes ?? {}, memoryBytes: model?.memoryBytes ?? 0 };
      } finally {
        executor.dispose();
      }
    };
    const wide = await run('wide.yaml', study(''), 'wide');
    const held = await run('held.yaml', study(', weights: stored'), 'held');
    expect(held.cells.map((c) => [c.key, c.figures])).toEqual(wide.cells.map((c) => [c.key, c.figures]));
    expect(held.repairBytes['irepair+lora']).toBeLessThan(wide.repairBytes['irepair+lora'] as number);
    expect(held.memoryBytes).toBeLessThan(wide.memoryBytes);
    // it decides no figure, so that a folder may go on with it
    expect((await run('held.yaml', study(', weights: stored'), 'wide')).computed).toBe(0);
    await writeFile(at('typo.yaml'), study(', weights: stred'));
    await expect(openStudy(at('typo.yaml'))).rejects.toThrow(
      /typo\.yaml:2:\d+: models\[0\]\.weights: expected one of float32, stored.*Did you mean "stored"/,
    );
  });
});
