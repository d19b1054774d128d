import { describe, expect, it } from 'vitest';
import { checkStudyConfig } from '../../src/study/check-config.ts';
import type { StudyConfig } from '../../src/study/config.ts';
import { cellsOfShare, planStudy, type StudyFacts } from '../../src/study/plan.ts';
import { parseShare } from '../../src/study/run-study.ts';
import { parseYaml } from '../../src/study/yaml-file.ts';

const YAML = `name: grid
models: [{ name: a, path: a }, { name: b, path: b }]
pool: { files: p.jsonl }
normal: n.jsonl
selectors: [random, k-center, saps]
repairs: [dapt, { method: dapt, kl: 1 }]
proportions: [0.5, 1]
boundaryRatios: [0, 1]
seeds: [43, 44]
evaluation: { toxicity: t.jsonl }
`;
const FACTS: StudyFacts = {
  modelHashes: { a: 'hash-a', b: 'hash-b' },
  fileHashes: { normal: 'n', prompts: 't' },
  pools: { 43: { hash: 'p43', size: 100 }, 44: { hash: 'p44', size: 100 } },
};
const config = (text = YAML): StudyConfig => checkStudyConfig(parseYaml(text, 's.yaml'));

describe('study plan', () => {
  it('plans each cell once, baselines first', () => {
    const { cells } = planStudy(config(), FACTS);
    // by model: 1 unrepaired; by seed and repair: 1 full, 2 selectors at 0.5, saps at two boundary ratios
    expect(cells).toHaveLength(2 * (1 + 2 * 2 * (1 + 2 + 2)));
    expect(new Set(cells.map((c) => c.key)).size).toBe(cells.length);
    for (const cell of cells.filter((c) => c.kind === 'subset')) {
      const at = cells.indexOf(cell);
      expect(cells.findIndex((c) => c.kind === 'unrepaired' && c.model === cell.model)).toBeLessThan(at);
      expect(cells.findIndex((c) => c.kind === 'full' && c.group === cell.group)).toBeLessThan(at);
    }
  });

  it('shares selections between repairs', () => {
    const { cells } = planStudy(config(), FACTS);
    const selections = new Set(cells.flatMap((c) => c.selectionKey ?? []));
    expect(selections.size).toBe(2 * 2 * 4);
  });

  it('another encoder or scorer chooses other subsets, where they are used', () => {
    const yaml = YAML.replace('[random, k-center, saps]', '[random, k-center, { method: ccs, score: toxicity }]');
    const keys = (selector: string, change: Partial<StudyFacts>) =>
      planStudy(config(yaml), { ...FACTS, ...change })
        .cells.filter((cell) => cell.selector === selector)
        .map((cell) => cell.selectionKey);
    const scorer = { fileHashes: { ...FACTS.fileHashes, scorer: 'other' } };
    const encoder = { encoderHash: 'e' };
    expect(keys('random', encoder)).toEqual(keys('random', {}));
    expect(keys('k-center', encoder)).not.toEqual(keys('k-center', {}));
    expect(keys('k-center', scorer)).toEqual(keys('k-center', {}));
    expect(keys('ccs', scorer)).not.toEqual(keys('ccs', {}));
  });

  it('keys change with what decides the figures and only with that', () => {
    const keys = (c: StudyConfig, f: StudyFacts = FACTS) => planStudy(c, f).cells.map((cell) => cell.key);
    const before = keys(config());
    expect(
      keys(config(YAML.replace('name: grid', 'name: other').replace('path: a', 'path: elsewhere/a').replace('t.jsonl', 'moved/t.jsonl'))),
    ).toEqual(before);
    const model = keys(config(), { ...FACTS, modelHashes: { ...FACTS.modelHashes, b: 'changed' } });
    expect(model.filter((k) => before.includes(k))).toHaveLength(before.length / 2);
    const pool = keys(config(), { ...FACTS, pools: { ...FACTS.pools, 44: { hash: 'changed', size: 100 } } });
    expect(pool.filter((k) => before.includes(k))).toHaveLength(2 + 2 * 2 * 5);
    const normal = keys(config(), { ...FACTS, fileHashes: { ...FACTS.fileHashes, normal: 'changed' } });
    expect(normal.filter((k) => before.includes(k))).toHaveLength(2 + 2 * 2 * 5);
    expect(
      keys(config(YAML.replace('toxicity: t.jsonl', 'toxicity: { prompts: t.jsonl, maxNewTokens: 9 }'))).some((k) => before.includes(k)),
    ).toBe(false);
  });

  it('deals whole groups to shares, with the baselines they need', () => {
    const plan = planStudy(config(), FACTS);
    const shares = [1, 2, 3].map((index) => cellsOfShare(plan, { index, of: 3 }));
    const subsets = shares.flat().filter((c) => c.kind !== 'unrepaired');
    expect(subsets).toHaveLength(plan.cells.length - 2);
    for (const share of shares) {
      for (const cell of share.filter((c) => c.kind === 'subset')) {
        expect(share.some((c) => c.kind === 'full' && c.group === cell.group)).toBe(true);
        expect(share.some((c) => c.kind === 'unrepaired' && c.model === cell.model)).toBe(true);
      }
    }
  });

  it('reads i/n strictly', () => {
    expect(parseShare('2/8')).toEqual({ index: 2, of: 8 });
    expect(parseShare(undefined)).toEqual({ index: 1, of: 1 });
    for (const text of ['0/8', '9/8', '2', '2/', 'a/b', '-1/2', '1/0', '1.5/2'])
      expect(() => parseShare(text), text).toThrow(/Expected --cells as i\/n/);
  });
});
