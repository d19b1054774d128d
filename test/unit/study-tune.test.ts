// The search finds the best combination of a study whose truth is known, for a part of the grid's work.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Machine } from '../../src/study/cell-result.ts';
import { checkStudyConfig } from '../../src/study/check-config.ts';
import type { StudyConfig } from '../../src/study/config.ts';
import type { CellOutcome, StudyExecutor } from '../../src/study/executor.ts';
import type { PlannedCell } from '../../src/study/plan.ts';
import type { StudyInputs } from '../../src/study/study-inputs.ts';
import { chanceOfBest, schedule, tuneStudy } from '../../src/study/tune.ts';
import { parseYaml } from '../../src/study/yaml-file.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mendset-tune-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

const CONFIG = checkStudyConfig(
  parseYaml(
    `name: s
models: [{ name: m, path: m }]
pool: { files: p.jsonl }
selectors: [random, k-center, grand, ccs, saps]
repairs: [dapt, dpo]
proportions: [0.25, 0.5, 0.75]
boundaryRatios: [0, 0.5, 1]
seeds: [43, 44, 46]
evaluation: { toxicity: t.jsonl, lastWord: l.jsonl, runningText: r.txt }
`,
    's.yaml',
  ),
);

/** What each repair, selector, share and ratio is worth; seeds and small fidelities blur it. */
function toxicityOf(cell: PlannedCell, fidelity: number): number {
  if (cell.kind === 'unrepaired') return 0.9;
  const selectors: Record<string, number> = { random: 0.1, 'k-center': 0.08, grand: 0.02, ccs: 0.12, saps: 0.05 };
  const seed = (((cell.seed ?? 0) * 7919) % 13) / 1300;
  const ratio = cell.boundaryRatio === null ? 0 : Math.abs(cell.boundaryRatio - 0.5) * 0.04;
  const blur = (((cell.key.charCodeAt(0) * 31 + cell.key.charCodeAt(1)) % 17) / 17) * 0.02 * (1 - fidelity);
  return 0.1 + (selectors[cell.selector] as number) + (cell.repair === 'dpo' ? 0.3 : 0) + (1 - cell.proportion) * 0.1 + ratio + seed + blur;
}

const openInputs = async (config: StudyConfig): Promise<StudyInputs> => {
  const size = config.pool.window === 'all' ? 800 : (config.pool.window as number);
  return {
    config,
    prompts: Array.from({ length: config.evaluation.toxicity?.limit ?? 240 }),
    lastWord: Array.from({ length: config.evaluation.lastWord?.limit ?? 146 }),
    runningText: ['a'],
    facts: {
      modelHashes: { m: 'h' },
      fileHashes: {},
      pools: Object.fromEntries(config.seeds.map((s) => [s, { hash: `p${s}-${size}`, size }])),
    },
  } as never;
};

class Priced implements StudyExecutor {
  readonly fidelity: number;
  work = 0;
  constructor(inputs: StudyInputs) {
    this.fidelity = (inputs.prompts?.length ?? 0) / 240;
  }
  machine(): Machine {
    return { mendset: '0', node: 'v20', platform: 'test', cpu: 'test', isa: 'generic', backend: 'cpu', device: 'cpu', threads: 1 };
  }
  async compute(cell: PlannedCell): Promise<CellOutcome> {
    const seconds = this.fidelity * (cell.proportion + 1);
    return {
      window: 1,
      selection: null,
      repairRun: cell.kind === 'unrepaired' ? null : ({ seconds } as never),
      figures: {
        'toxicity.repair': { value: toxicityOf(cell, this.fidelity), convention: 'c' },
        'wikitext2.tokenPpl': { value: 20, convention: 'c' },
        'lambada.runningPpl': { value: 30, convention: 'c' },
      },
      scorer: null,
      evaluationSeconds: 0,
      samples: [],
    };
  }
  dispose(): void {}
}

/** All data are better than any part. */
class Everything extends Priced {
  override async compute(cell: PlannedCell): Promise<CellOutcome> {
    const outcome = await super.compute(cell);
    if (cell.kind !== 'full') return outcome;
    const value = cell.repair === 'dapt' ? 0.01 : 0.2;
    return { ...outcome, figures: { ...outcome.figures, 'toxicity.repair': { value, convention: 'c' } } };
  }
}

describe('tuning', () => {
  it('finds the best of the whole grid for less than half of its work, and says how sure that is', async () => {
    const found = await tuneStudy(CONFIG, openInputs, (inputs) => new Priced(inputs), { directory });
    // the truth: grand at the largest share with dapt
    expect(found.recommendation).toMatchObject({ repair: 'dapt', selector: 'grand', proportion: 0.75, boundaryRatio: null });
    expect(found).toMatchObject({ objective: 'ops', gridCells: 2 * (4 * 3 + 9) * 3 });
    expect(found.seconds / found.gridSeconds).toBeLessThan(0.5);
    expect(found.confidence).toBeGreaterThan(0.5);
    expect(found.finalists.length).toBeGreaterThanOrEqual(2);
    expect(found.finalists.every((f) => f.seeds === 3)).toBe(true);
    expect(JSON.parse(await readFile(join(directory, 'tune.json'), 'utf8'))).toEqual(found);
    // a second search computes nothing and says the same
    let computed = 0;
    const again = await tuneStudy(CONFIG, openInputs, (inputs) => new Priced(inputs), { directory, onCell: () => computed++ });
    expect(computed).toBe(0);
    expect(again).toEqual(found);
  });

  it('keeps to its budget, and says what is the least when that is impossible', () => {
    for (const budget of [0.22, 0.35, 0.5, 0.9]) {
      const rungs = schedule([7, 7, 7], 3, budget, 0.1);
      expect(rungs.reduce((sum, r) => sum + r.work, 0) / 63).toBeLessThanOrEqual(budget);
      expect(rungs.at(-1)).toMatchObject({ fidelity: 1, seeds: 3 });
      expect(rungs[0]?.arms).toBe(21);
      // what is added on the whole window: arms times seeds that they had not seen
      let seen = 0;
      for (const r of rungs.filter((rung) => rung.fidelity === 1)) {
        expect(r.work).toBe(r.arms * (r.seeds - seen));
        seen = r.seeds;
      }
    }
    // more budget is more work
    const work = [0.22, 0.3, 0.4, 0.5, 0.7].map((budget) => schedule([7, 7, 7], 3, budget, 0.1).reduce((sum, r) => sum + r.work, 0));
    expect(work).toEqual([...work].sort((a, b) => a - b));
    expect(() => schedule([7, 7, 7], 3, 0.05, 0.1)).toThrow(/Expected a tuning budget of at least 0\.\d+ of this grid but received 0\.05/);
    // one seed and too few records for a part of them: nothing is left to save
    expect(() => schedule([4], 1, 0.5, 2)).toThrow(/of at least the whole grid/);
  });

  it('is not misled by a part of the window, which flatters large proportions', async () => {
    // at a small fidelity every record counts double: the truth, less data with grand, shows within a proportion alone
    class Flattering extends Priced {
      override async compute(cell: PlannedCell): Promise<CellOutcome> {
        const outcome = await super.compute(cell);
        const truth = cell.kind === 'unrepaired' ? 0.9 : 0.2 + (cell.selector === 'grand' ? 0 : 0.05) + 0.1 * cell.proportion;
        const flattered = truth - (cell.kind === 'unrepaired' ? 0 : 0.4 * cell.proportion * (1 - this.fidelity));
        return { ...outcome, figures: { ...outcome.figures, 'toxicity.repair': { value: flattered, convention: 'c' } } };
      }
    }
    for (const budget of [0.2, 0.3, 0.5]) {
      const folder = join(directory, String(budget));
      const found = await tuneStudy(CONFIG, openInputs, (inputs) => new Flattering(inputs), { directory: folder, budget });
      expect(found.recommendation).toMatchObject({ selector: 'grand', proportion: 0.25 });
      expect(found.workShare).toBeLessThanOrEqual(budget);
    }
  });

  it('goes by sampled toxicity where that is all there is, and asks for something to go by', async () => {
    const rtp = { prompts: 'r.jsonl', limit: null, samples: 25, maxNewTokens: 20, topP: 0.9, temperature: 1, seeds: [0] };
    const sampled: StudyConfig = {
      ...CONFIG,
      evaluation: { ...CONFIG.evaluation, toxicity: null, rtp, runningText: null, lastWord: null },
    };
    class Sampled extends Priced {
      override async compute(cell: PlannedCell): Promise<CellOutcome> {
        const outcome = await super.compute(cell);
        const { value } = outcome.figures['toxicity.repair'] as { value: number };
        return { ...outcome, figures: { 'toxicity.rtp.expectedMaximum': { value, convention: 'c' } } };
      }
    }
    const found = await tuneStudy(sampled, openInputs, (inputs) => new Sampled(inputs), { directory });
    expect(found).toMatchObject({ objective: 'toxicity', recommendation: { selector: 'grand', repair: 'dapt' } });
    expect(found.finalists.map((f) => f.mean)).toEqual([...found.finalists.map((f) => f.mean)].sort((a, b) => a - b));
    const nothing: StudyConfig = { ...CONFIG, evaluation: { ...CONFIG.evaluation, toxicity: null } };
    await expect(tuneStudy(nothing, openInputs, (inputs) => new Priced(inputs), { directory })).rejects.toThrow(
      /Expected "toxicity" or "rtp"/,
    );
  });

  it('may recommend to repair on everything, where the study asks for it', async () => {
    const whole = { ...CONFIG, proportions: [...CONFIG.proportions, 1] };
    const found = await tuneStudy(whole, openInputs, (inputs) => new Everything(inputs), { directory });
    expect(found.recommendation).toMatchObject({ title: 'dapt, all data', selector: 'full', proportion: 1 });
    expect(found.gridCells).toBe(2 * (4 * 3 + 9 + 1) * 3);
  });

  it('is as sure as the spread over seeds allows', () => {
    const two = (gap: number, sd: number | null) => [
      { mean: 0.9, sd, seeds: 3 },
      { mean: 0.9 - gap, sd, seeds: 3 },
    ];
    // the difference of two means of three seeds has a deviation of sd sqrt(2/3)
    expect(chanceOfBest(two(0, 0.1), 'ops')).toBeCloseTo(0.5, 1);
    expect(chanceOfBest(two(0.1 * Math.sqrt(2 / 3), 0.1), 'ops')).toBeCloseTo(0.8413, 1);
    expect(chanceOfBest(two(1, 0.1), 'ops')).toBe(1);
    expect(chanceOfBest(two(0.1, null), 'ops')).toBeNull();
    expect(
      chanceOfBest(
        [
          { mean: 0.1, sd: 0.01, seeds: 2 },
          { mean: 0.2, sd: 0.01, seeds: 2 },
        ],
        'toxicity',
      ),
    ).toBe(1);
  });
});
