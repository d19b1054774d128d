// The JSON Schema that is published for editors and the checker are one set of rules.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { checkStudyConfig } from '../../src/study/check-config.ts';
import { planStudy } from '../../src/study/plan.ts';
import { studyJsonSchema, studySchema } from '../../src/study/study-schema.ts';
import { parseYaml } from '../../src/study/yaml-file.ts';
import { accepts } from './json-schema-judge.ts';

const root = join(import.meta.dirname, '..', '..');
const schema = studyJsonSchema() as Record<string, unknown>;
const examples = readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.yaml'));
const read = (name: string) => readFileSync(join(root, 'examples', name), 'utf8');

/** Everything a study file can say, once. */
const FULL = {
  name: 'q',
  demo: true,
  models: ['a', { name: 'b', path: 'b' }],
  pool: { files: ['p.jsonl'], expand: false, window: 'auto', validation: 8, dedupe: 'exact' },
  normal: { generate: 100 },
  selectors: [
    'random',
    { method: 'k-center', first: 'farthest-from-mean', space: 'raw', components: 3 },
    { method: 'grand', score: 'el2n', norm: 'global', offset: 2 },
    { method: 'saps', name: 'deep', clusters: 4, allocation: 'waterfill', mode: 'density', preset: 'paper' },
    { method: 'd2', neighbours: 3, forward: 0.5, reverse: 1 },
    { method: 'deduplicate', threshold: 0.9, fill: true },
  ],
  repairs: [
    'dapt',
    { method: 'dpo', beta: 0.2, kl: 2 },
    { method: 'irepair', slice: 'fixed', blocks: 2, kl: { weight: 1, direction: 'reverse' } },
    { method: 'irepair', name: 'third', slice: 3 },
    { method: 'sft', lora: 4 },
    { method: 'npo', beta: 0.2, lora: { rank: 2, alpha: 8, targets: ['c_attn'] }, steps: 100 },
    { method: 'dapt', name: 'published', published: 'irepair', maxSteps: 10, epochs: 2 },
  ],
  proportions: [0.5, 1],
  boundaryRatios: 0.5,
  seeds: [43, 44],
  fullData: false,
  training: {
    learningRate: 1e-5,
    batchSize: 2,
    optimizer: 'adamw',
    order: 'pool',
    seed: 1,
    mask: 'all',
    keep: 'last',
    completionTokens: 64,
    totalTokens: 256,
    memoryBudget: '4GiB',
    microBatchTokens: 512,
    recompute: true,
  },
  exclude: [{ selector: 'grand', model: ['a', 'b'] }],
  overrides: [
    { when: { model: 'b' }, window: 50 },
    { when: { repair: 'dpo+kl', seed: 43 }, repair: { beta: 0.3, learningRate: 1e-6 }, selector: { components: 2 } },
  ],
  evaluation: {
    toxicity: { prompts: 't.jsonl', limit: 4, promptTokens: 8, maxNewTokens: 3 },
    rtp: { prompts: 'r.jsonl', limit: 5, samples: 4, maxNewTokens: 6, topP: 0.8, temperature: 0.7, seeds: [0, 1] },
    runningText: { file: 'w.txt', name: 'w', window: 'model', stride: 4 },
    lastWord: 'l.jsonl',
    scorer: 'builtin',
    bootstrapSeed: 1,
    samples: 3,
  },
};

/** Every place in a value, as a path. */
function places(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  const inner =
    typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([key, v]) => places(v, [...path, Array.isArray(value) ? Number(key) : key]))
      : [];
  return path.length === 0 ? inner : [path, ...inner];
}

function changed(path: readonly (string | number)[], change: (parent: Record<string | number, unknown>, key: string | number) => void) {
  const copy = structuredClone(FULL) as unknown as Record<string | number, unknown>;
  let parent = copy;
  for (const key of path.slice(0, -1)) parent = parent[key] as Record<string | number, unknown>;
  change(parent, path.at(-1) as string | number);
  return copy;
}

const checker = (value: unknown) => studySchema.safeParse(value).success;

describe('the published JSON Schema', () => {
  it('is the file in the package', () => {
    expect(JSON.parse(readFileSync(join(root, 'assets', 'study.schema.json'), 'utf8')), 'run `npm run schema`').toEqual(schema);
  });

  it('accepts what the checker accepts: a file that says everything, and every example', () => {
    expect(checker(FULL)).toBe(true);
    expect(accepts(schema, FULL)).toBe(true);
    for (const name of examples) {
      expect(accepts(schema, parse(read(name))), name).toBe(true);
      expect(() => checkStudyConfig(parseYaml(read(name), name)), name).not.toThrow();
      expect(read(name), name).toContain('# yaml-language-server: $schema=../assets/study.schema.json');
    }
  });

  it('agrees with the checker about every value put in every place, every key left out, and every unknown key', () => {
    const all = places(FULL);
    const values = fc.oneof(
      fc.constantFrom<unknown>(
        null,
        true,
        false,
        '',
        ' ',
        'auto',
        'all',
        'model',
        'dapt',
        'saps',
        'full',
        [],
        {},
        [1],
        ['a'],
        { method: 'dpo' },
        { path: 'x' },
      ),
      fc.constantFrom<unknown>(-1, 0, 0.5, 1, 1.5, 2, 43, 2 ** 53, Number.MAX_SAFE_INTEGER),
    );
    let refused = 0;
    fc.assert(
      fc.property(fc.constantFrom(...all), fc.constantFrom('set', 'drop', 'extra'), values, (path, how, value) => {
        const made = changed(path, (parent, key) => {
          if (how === 'set') parent[key] = value;
          else if (how === 'drop' && !Array.isArray(parent)) delete parent[key];
          else if (!Array.isArray(parent)) parent[`${key}x`] = value;
        });
        const verdict = checker(made);
        if (!verdict) refused++;
        // the checker alone sees repeats that are written differently, such as dapt and { method: dapt }
        if (!verdict && accepts(schema, made) && /without repeats/.test(JSON.stringify(studySchema.safeParse(made).error?.issues))) return;
        expect(accepts(schema, made), `${path.join('.')} ${how} ${JSON.stringify(value)}`).toBe(verdict);
      }),
      { numRuns: 1500, seed: 7 },
    );
    expect(refused).toBeGreaterThan(200);
  });

  it('describes every top-level key to the editor', () => {
    for (const [key, value] of Object.entries(schema['properties'] as Record<string, Record<string, unknown>>))
      if (!['pool', 'evaluation'].includes(key)) expect(value['description'], key).toBeTypeOf('string');
  });
});

describe('the presets of the four research questions', () => {
  const plan = (name: string) => {
    const config = checkStudyConfig(parseYaml(read(name), name));
    return planStudy(config, {
      modelHashes: Object.fromEntries(config.models.map((m) => [m.name, m.name])),
      fileHashes: {},
      pools: Object.fromEntries(config.seeds.map((s) => [s, { hash: String(s), size: 100 }])),
    }).cells;
  };

  it('plan the cells they say', () => {
    // 4 models x 5 seeds x 5 repairs x (selectors x proportions x ratios + full data) + 4 unrepaired
    const counts = Object.fromEntries(examples.map((name) => [name, plan(name).length]));
    expect(counts).toEqual({
      'quickstart.yaml': 31,
      'rq1.yaml': 91,
      'rq2.yaml': 55,
      'rq3.yaml': 77,
      'rq4.yaml': 61,
      'rq1-published.yaml': 4 + 100 * 6,
      'rq2-published.yaml': 4 + 100 * 11,
      'rq3-published.yaml': 4 + 100 * 10,
      'rq4-published.yaml': 4 + 100 * 6,
      'tune.yaml': 1 + 3 * (4 * 3 + 3 * 3),
    });
    for (const name of examples.filter((n) => n.includes('published')))
      expect(read(name)).toContain(`${(counts[name] as number).toLocaleString('en')} cells`);
  });
});
