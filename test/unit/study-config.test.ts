import { describe, expect, it } from 'vitest';
import { MendsetError } from '../../src/core/errors.ts';
import { checkStudyConfig } from '../../src/study/config.ts';
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
      /expected at least one of toxicity, runningText, lastWord/,
    );
  });

  it('reports broken YAML with its place', () => {
    expect(problems('name: [a\nb: c')[0]).toMatch(/^s\.yaml:\d+:\d+: /);
    expect(problems('name: a\nname: b\n')[0]).toMatch(/^s\.yaml:2:1: /);
  });
});
