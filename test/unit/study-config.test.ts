import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MendsetError } from '../../src/core/errors.ts';
import { resolveOptions } from '../../src/repair/options.ts';
import { repairOf } from '../../src/study/cell-rules.ts';
import { checkStudyConfig } from '../../src/study/check-config.ts';
import type { RepairConfig } from '../../src/study/config.ts';
import { makeRepair, repairOptions } from '../../src/study/make-repair.ts';
import { checkStudy } from '../../src/study/open-study.ts';
import { planStudy } from '../../src/study/plan.ts';
import { parseYaml } from '../../src/study/yaml-file.ts';

const GOOD = `name: q
models: demo:model
pool: { files: demo:pool.jsonl }
selectors: [random, { method: saps, name: boundary }]
repairs: [dapt, { method: irepair, kl: 1, learningRate: 1.0e-3 }]
normal: demo:normal.jsonl
training: { batchSize: 2, learningRate: 5.0e-5 }
evaluation: { toxicity: demo:prompts.jsonl }
`;

function problems(text: string): readonly string[] {
  try {
    checkStudyConfig(parseYaml(text, 's.yaml'));
  } catch (error) {
    expect(error).toBeInstanceOf(MendsetError);
    expect((error as MendsetError).code).toBe('invalid-config');
    return (error as MendsetError).problems;
  }
  return [];
}

describe('study configuration', () => {
  it('fills in defaults, names and training overrides', () => {
    const config = checkStudyConfig(parseYaml(GOOD, 's.yaml'));
    expect(config.models).toEqual([{ name: 'demo-model', path: 'demo:model' }]);
    expect(config.selectors.map((s) => s.name)).toEqual(['random', 'boundary']);
    expect(config.repairs.map((r) => r.name)).toEqual(['dapt', 'irepair+kl']);
    expect(config.repairs.map((r) => r.training.learningRate)).toEqual([5e-5, 1e-3]);
    expect(config.repairs[0]?.training).toMatchObject({ batchSize: 2, epochs: 1, warmupSteps: 150, seed: 202 });
    expect(config.repairs[1]?.kl).toEqual({ weight: 1, repairWeight: 0.5, direction: 'forward' });
    expect(config.proportions).toEqual([0.5]);
  });

  it('names an unknown key with line and column and suggests the nearest one', () => {
    expect(problems(`${GOOD}propotions: [0.5]\n`)).toEqual([
      expect.stringMatching(/^s\.yaml:9:1: unknown key "propotions"\. Did you mean "proportions"\?/),
    ]);
    expect(problems(GOOD.replace('name: boundary', 'clusers: 3'))).toEqual([
      expect.stringMatching(/^s\.yaml:4:37: selectors\[1\]: unknown key "clusers"\. Did you mean "clusters"\?/),
    ]);
  });

  it('lists every mistake at once', () => {
    const found = problems(`name: 3
models: demo:model
pool: { files: demo:pool.jsonl, window: many }
selectors: [random, kcenter]
repairs: [{ method: dapt, learningRate: -1 }]
proportions: [0, 1.5, "half"]
seeds: [1.5]
evaluation: { toxicity: demo:prompts.jsonl }
`);
    expect(found).toEqual([
      's.yaml:1:7: name: expected a name but received 3.',
      's.yaml:3:41: pool.window: expected a whole number of at least 1 or "auto" or "all" but received "many".',
      's.yaml:4:21: selectors[1].method: expected method to be one of random, k-center, grand, ccs, saps, uniform, stratified, facility-location, herding, moderate, d2, deduplicate but received "kcenter". Did you mean "k-center"?',
      's.yaml:5:41: repairs[0].learningRate: expected a number above 0 but received -1.',
      's.yaml:6:15: proportions[0]: expected a number above 0 and at most 1 but received 0.',
      's.yaml:6:18: proportions[1]: expected a number above 0 and at most 1 but received 1.5.',
      's.yaml:6:23: proportions[2]: expected a number above 0 and at most 1 but received "half".',
      's.yaml:7:9: seeds[0]: expected a whole number of at least 0 but received 1.5.',
    ]);
  });

  it('asks for normal texts with KL, for different names, and for something to measure', () => {
    expect(problems(GOOD.replace('normal: demo:normal.jsonl\n', ''))[0]).toMatch(/^s\.yaml:5:17: repairs\[1\]: expected "normal"/);
    expect(problems(GOOD.replace('name: boundary', 'name: random'))[0]).toMatch(
      /expected names to differ but "random" is also selectors\[0\]/,
    );
    expect(problems(GOOD.replace('toxicity: demo:prompts.jsonl', 'samples: 3'))[0]).toMatch(
      /expected at least one of toxicity, rtp, runningText, lastWord/,
    );
  });

  it('reports broken YAML with its place', () => {
    expect(problems('name: [a\nb: c')[0]).toMatch(/^s\.yaml:\d+:\d+: /);
    expect(problems('name: a\nname: b\n')[0]).toMatch(/^s\.yaml:2:1: /);
  });
});

describe('repairs', () => {
  const repairs = (text: string, training = '{}') =>
    checkStudyConfig(
      parseYaml(`${GOOD.replace(/^repairs:.*\n/m, `repairs: ${text}\n`).replace(/^training:.*\n/m, '')}training: ${training}\n`, 's.yaml'),
    ).repairs;

  it('are every method of the library, with low-rank adapters and equal budgets', () => {
    const list = repairs(
      '[sft, { method: npo, beta: 0.2 }, { method: dapt, lora: 4 }, { method: irepair, kl: 1, lora: { rank: 2, targets: c_attn }, slice: 3, blocks: 2, steps: 50 }]',
      '{ epochs: 3, memoryBudget: 2GiB }',
    );
    expect(list.map((r) => r.name)).toEqual(['sft', 'npo', 'dapt+lora', 'irepair+kl+lora']);
    expect(list.map((r) => makeRepair(r).name)).toEqual(['sft', 'npo', 'dapt', 'irepair']);
    expect(makeRepair(list[1] as RepairConfig).beta).toBe(0.2);
    expect(list[2]?.lora).toEqual({ rank: 4 });
    expect(list[3]).toMatchObject({ lora: { rank: 2, targets: ['c_attn'] }, slice: 3, blocks: 2 });
    const options = list.map((r) => resolveOptions(makeRepair(r), repairOptions(r), 256));
    expect(options.map((o) => o.epochs)).toEqual([3, 3, 3, Number.MAX_SAFE_INTEGER]);
    expect(options.map((o) => o.maxSteps)).toEqual([null, null, null, 50]);
    expect(options.map((o) => o.memoryBudget)).toEqual(Array(4).fill(2 ** 31));
    expect(options.map((o) => o.lora?.rank ?? null)).toEqual([null, null, 4, 2]);
  });

  it('take published hyperparameters before the study’s, and their own before either', () => {
    const [one, two] = repairs(
      '[{ method: irepair, published: irepair }, { method: irepair, name: own, published: irepair, learningRate: 1.0e-3, clipNorm: 1 }]',
      '{ learningRate: 0.5, seed: 7, evalEvery: 9 }',
    );
    expect(one?.training).toMatchObject({ learningRate: 2e-5, clipNorm: 0, evalEvery: 100, epochs: 2, optimizer: 'rmsprop', seed: 7 });
    expect(two?.training).toMatchObject({ learningRate: 1e-3, clipNorm: 1, evalEvery: 100, seed: 7 });
  });

  it('say how long they run in one way: the nearer one', () => {
    const [epochs, steps] = repairs('[{ method: dapt, epochs: 2 }, { method: dpo, steps: 9 }]', '{ steps: 100 }');
    expect(repairOptions(epochs as RepairConfig)).toMatchObject({ epochs: 2, maxSteps: undefined });
    expect(repairOptions(epochs as RepairConfig)).not.toHaveProperty('steps');
    expect(repairOptions(steps as RepairConfig)).toMatchObject({ steps: 9 });
    const config = checkStudyConfig(parseYaml(`${GOOD}overrides: [{ when: { repair: dapt }, repair: { steps: 5, lora: 2 } }]\n`, 's.yaml'));
    const place = {
      model: 'demo-model',
      kind: 'full',
      selector: 'full',
      repair: 'dapt',
      kl: false,
      proportion: 1,
      boundaryRatio: null,
      seed: 43,
    } as const;
    const changed = repairOf(config, config.repairs[0] as RepairConfig, place);
    expect(repairOptions(changed)).toMatchObject({ steps: 5, lora: { rank: 2 } });
  });

  it('told in two ways, with impossible sizes, or with options of other methods are named with their places', () => {
    const wrong = (text: string) => problems(GOOD.replace(/^repairs:.*$/m, `repairs: ${text}`));
    expect(wrong('[{ method: dapt, steps: 5, epochs: 2 }]')).toEqual([
      's.yaml:5:37: repairs[0]: expected no "epochs" beside "steps", which is a budget of its own; leave one of them out.',
    ]);
    expect(wrong('[{ method: sft, beta: 1 }]')[0]).toMatch(/^s\.yaml:5:26: repairs\[0\]: unknown key "beta"/);
    expect(wrong('[{ method: dapt, lora: 0 }]')[0]).toMatch(
      /^s\.yaml:5:33: repairs\[0\]\.lora.*: expected a whole number of at least 1 but received 0\./,
    );
    expect(wrong('[{ method: dapt, memoryBudget: 4 apples }]')[0]).toMatch(
      /^s\.yaml:5:41: repairs\[0\]\.memoryBudget: expected a size such as 4GiB/,
    );
    expect(wrong('[stf]')[0]).toMatch(/Did you mean "sft"\?/);
  });
});

describe('exclusions and overrides', () => {
  const RULES = `${GOOD}seeds: [43, 44]
exclude:
  - { selector: boundary, repair: dapt }
overrides:
  - { when: { repair: irepair+kl }, window: 7, repair: { learningRate: 2.0e-3, kl: { weight: 3 } } }
  - { when: { selector: boundary, seed: 44 }, selector: { clusters: 3 } }
`;
  const cells = (text: string) => {
    const config = checkStudyConfig(parseYaml(text, 's.yaml'));
    const pool = (seed: number) => ({ hash: `all-${seed}`, size: 20 });
    return planStudy(config, {
      modelHashes: { 'demo-model': 'h' },
      fileHashes: {},
      pools: { 43: pool(43), 44: pool(44) },
      windows: { '43:7': { hash: 'seven-43', size: 7 }, '44:7': { hash: 'seven-44', size: 7 } },
    }).cells;
  };

  it('leave cells out and change others, and only those', () => {
    const planned = cells(RULES);
    expect(planned.some((c) => c.selector === 'boundary' && c.repair === 'dapt')).toBe(false);
    expect(planned.filter((c) => c.kind === 'full' && c.repair === 'dapt')).toHaveLength(2);
    for (const c of planned.filter((p) => p.repair === 'irepair+kl'))
      expect(c).toMatchObject({
        window: 7,
        poolHash: `seven-${c.seed}`,
        repairConfig: { kl: { weight: 3 }, training: { learningRate: 2e-3 } },
      });
    for (const c of planned.filter((p) => p.repair === 'dapt'))
      expect(c).toMatchObject({ window: 'all', repairConfig: { training: { learningRate: 5e-5 } } });
    expect(
      planned.filter((c) => c.selector === 'boundary').map((c) => [c.seed, (c.selectorConfig as { clusters?: number }).clusters]),
    ).toEqual([
      [43, undefined],
      [44, 3],
    ]);
    const before = cells(`${GOOD}seeds: [43, 44]\n`).map((c) => c.key);
    expect(planned.filter((c) => c.repair === 'dapt' || c.kind === 'unrepaired').every((c) => before.includes(c.key))).toBe(true);
  });

  it('are told where they name what the study does not have or its methods do not understand', () => {
    expect(
      problems(`${GOOD}exclude: [{ selector: boundry }, { seed: 7 }, {}]
overrides:
  - { when: { repair: dapt }, repair: { beta: 0.2, slice: fixed } }
  - { when: { proportion: 0.5 }, window: 3 }
  - { when: { selector: random }, selector: { clusters: 3 } }
  - { when: { model: demo-model } }
`),
    ).toEqual([
      expect.stringMatching(/^s\.yaml:9:23: exclude\[0\]\.selector: expected one of .* Did you mean "boundary"\?/),
      expect.stringMatching(/^s\.yaml:9:42: exclude\[1\]\.seed: expected one of the study's own values \(43\) but received 7/),
      expect.stringMatching(/^s\.yaml:9:47: exclude\[2\]: expected at least one axis/),
      expect.stringMatching(
        /^s\.yaml:11:39: overrides\[0\]\.repair: expected no "beta" because "dapt" is dapt; name the dpo or npo repairs/,
      ),
      expect.stringMatching(/^s\.yaml:11:39: overrides\[0\]\.repair: expected no "slice"/),
      expect.stringMatching(/^s\.yaml:12:42: overrides\[1\]\.window: expected "when" to name models and repairs only/),
      expect.stringMatching(/^s\.yaml:13:45: overrides\[2\]\.selector: for "random": unknown key "clusters"/),
      expect.stringMatching(/^s\.yaml:14:5: overrides\[3\]: expected at least one of window, repair, selector/),
    ]);
  });

  it('a method that no option value can make is told with its place', () => {
    expect(problems(GOOD.replace('[random,', '[{ method: uniform, preset: paper },'))[0]).toMatch(
      /^s\.yaml:4:13: selectors\[0\]: Expected the principled preset/,
    );
  });
});

describe('paths', () => {
  it('that do not exist are told together with everything else that is wrong', async () => {
    const file = parseYaml(
      GOOD.replace('demo:pool.jsonl', 'absent.jsonl').replace('batchSize: 2', 'batchSize: two'),
      join(import.meta.dirname, 's.yaml'),
    );
    await expect(checkStudy(file)).rejects.toMatchObject({
      code: 'invalid-config',
      problems: [
        expect.stringMatching(/s\.yaml:7:24: training\.batchSize/),
        expect.stringMatching(/s\.yaml:3:16: pool\.files: expected a file that exists/),
      ],
    });
  });
});
