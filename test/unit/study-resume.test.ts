import { appendFile, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MendsetError } from '../../src/core/errors.ts';
import type { Machine } from '../../src/study/cell-result.ts';
import { checkStudyConfig } from '../../src/study/check-config.ts';
import type { CellOutcome, StudyExecutor } from '../../src/study/executor.ts';
import { type PlannedCell, planStudy, type StudyPlan } from '../../src/study/plan.ts';
import { readResults } from '../../src/study/results-file.ts';
import { runPlannedStudy } from '../../src/study/run-study.ts';
import { parseYaml } from '../../src/study/yaml-file.ts';

const MACHINE: Machine = {
  mendset: '0',
  node: 'v20',
  platform: 'test',
  cpu: 'test',
  isa: 'generic',
  backend: 'cpu',
  device: 'cpu',
  threads: 1,
};

function plan(seeds = '[43]'): StudyPlan {
  const config = checkStudyConfig(
    parseYaml(
      `name: s
models: [{ name: m, path: m }]
pool: { files: p.jsonl }
selectors: [random, saps]
repairs: [dapt, dpo]
seeds: ${seeds}
evaluation: { toxicity: t.jsonl }
`,
      's.yaml',
    ),
  );
  const pools = Object.fromEntries(config.seeds.map((s) => [s, { hash: `p${s}`, size: 10 }]));
  return planStudy(config, { modelHashes: { m: 'h' }, fileHashes: { prompts: 't' }, pools });
}

/** Computes nothing; fails or interrupts where told. */
class FakeExecutor implements StudyExecutor {
  readonly computed: string[] = [];
  readonly before: (cell: PlannedCell, nth: number) => void;

  constructor(before: (cell: PlannedCell, nth: number) => void = () => undefined) {
    this.before = before;
  }

  machine(): Machine {
    return MACHINE;
  }

  async compute(cell: PlannedCell): Promise<CellOutcome> {
    this.before(cell, this.computed.length);
    this.computed.push(cell.key);
    const repaired = cell.kind !== 'unrepaired';
    const toxicity = repaired ? 0.1 : 0.4;
    return {
      window: repaired ? 10 : null,
      selection: null,
      repairRun: repaired
        ? {
            method: 'dapt',
            kl: false,
            options: {},
            steps: 1,
            examples: 4,
            seconds: cell.kind === 'full' ? 2 : 1,
            phases: [],
            flops: 1,
            flopsPaper: 1,
            blockCounts: null,
            bestValidationLoss: null,
            stop: 'epochs',
            warnings: [],
          }
        : null,
      figures: {
        'toxicity.repair': { value: toxicity, convention: 'c' },
        'wikitext2.tokenPpl': { value: 20, convention: 'c' },
        'lambada.runningPpl': { value: 30, convention: 'c' },
      },
      scorer: { name: 'fake', version: '1', weightsHash: 'w' },
      evaluationSeconds: 0.1,
      samples: [{ prompt: 'p', completion: 'c', toxicity }],
    };
  }

  dispose(): void {}
}

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mendset-study-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

describe('running a study', () => {
  it('writes one line for each cell with metrics against its baselines, and samples', async () => {
    const summary = await runPlannedStudy(plan(), new FakeExecutor(), { directory });
    expect(summary).toMatchObject({ computed: 7, kept: 0, failed: [] });
    const lines = (await readFile(join(directory, 'results.jsonl'), 'utf8')).trim().split('\n');
    expect(lines).toHaveLength(7);
    const subset = summary.results.find((r) => r.kind === 'subset');
    expect(subset?.metrics).toMatchObject({ version: 'proposal-1', rps: 1, res: 2 });
    expect(subset?.metrics?.ops).toBeCloseTo(Math.sqrt(0.75), 12);
    expect(summary.results.find((r) => r.kind === 'full')?.metrics).toMatchObject({ rps: 1, res: 1 });
    expect(summary.results[0]?.metrics).toBeNull();
    expect(JSON.parse(await readFile(join(directory, 'samples', `${subset?.key}.jsonl`), 'utf8'))).toEqual({
      prompt: 'p',
      completion: 'c',
      toxicity: 0.1,
    });
  });

  it('continues after an interruption with the first missing cell', async () => {
    const controller = new AbortController();
    const first = new FakeExecutor((_, nth) => {
      if (nth === 3) {
        controller.abort();
        throw new MendsetError('aborted', 'stop');
      }
    });
    await expect(runPlannedStudy(plan(), first, { directory, signal: controller.signal })).rejects.toMatchObject({ code: 'aborted' });
    const second = new FakeExecutor();
    const summary = await runPlannedStudy(plan(), second, { directory, resume: true });
    expect(summary).toMatchObject({ computed: 4, kept: 3 });
    expect([...first.computed, ...second.computed]).toEqual(plan().cells.map((c) => c.key));
    expect((await runPlannedStudy(plan(), new FakeExecutor(), { directory })).computed).toBe(0);
  });

  it('computes a cell again whose line a crash cut short', async () => {
    await runPlannedStudy(plan(), new FakeExecutor(), { directory });
    const path = join(directory, 'results.jsonl');
    const text = await readFile(path, 'utf8');
    await writeFile(path, text.slice(0, text.trimEnd().lastIndexOf('\n') + 40));
    const again = new FakeExecutor();
    await runPlannedStudy(plan(), again, { directory });
    expect(again.computed).toHaveLength(1);
    expect(await readResults(directory)).toHaveLength(7);
    expect(
      (await readFile(path, 'utf8'))
        .trim()
        .split('\n')
        .every((line) => JSON.parse(line)),
    ).toBe(true);
  });

  it('records a failing cell, goes on, and tries it again next time', async () => {
    const failing = new FakeExecutor((cell) => {
      if (cell.repair === 'dpo' && cell.selector === 'saps') throw new MendsetError('non-finite', 'the loss became NaN');
    });
    const summary = await runPlannedStudy(plan(), failing, { directory });
    expect(summary.computed).toBe(6);
    expect(summary.failed).toEqual(['m: dpo, saps at 50 %, seed 43: the loss became NaN']);
    const again = new FakeExecutor();
    expect((await runPlannedStudy(plan(), again, { directory })).failed).toEqual([]);
    expect(again.computed).toHaveLength(1);
    expect((await readResults(directory)).every((r) => r.status === 'done')).toBe(true);
  });

  it('refuses another study in the same folder, saying what differs', async () => {
    await runPlannedStudy(plan(), new FakeExecutor(), { directory });
    const before = await readFile(join(directory, 'results.jsonl'), 'utf8');
    await expect(runPlannedStudy(plan('[44]'), new FakeExecutor(), { directory })).rejects.toThrow(
      /config\.seeds\[0\] was 43 and is now 44 .* use another folder/,
    );
    expect(await readFile(join(directory, 'results.jsonl'), 'utf8')).toBe(before);
  });

  it('refuses to resume nothing, and a folder that another living process computes', async () => {
    await expect(runPlannedStudy(plan(), new FakeExecutor(), { directory, resume: true })).rejects.toMatchObject({ code: 'not-found' });
    await runPlannedStudy(plan(), new FakeExecutor(), { directory });
    const lock = join(directory, '.lock-1-of-1');
    const living = JSON.stringify({ pid: process.ppid, host: hostname() });
    await writeFile(lock, living);
    await expect(runPlannedStudy(plan(), new FakeExecutor(), { directory })).rejects.toThrow(/only process computing share 1 of 1/);
    // just created by another process, which writes into it a moment later
    await writeFile(lock, '');
    const written = setTimeout(100).then(() => writeFile(lock, living));
    await expect(runPlannedStudy(plan(), new FakeExecutor(), { directory })).rejects.toThrow(/only process computing share 1 of 1/);
    await written;
    for (const abandoned of [JSON.stringify({ pid: 2 ** 30, host: hostname() }), '']) {
      await writeFile(lock, abandoned);
      expect((await runPlannedStudy(plan(), new FakeExecutor(), { directory })).kept).toBe(7);
    }
  });

  it('splits over shares that together hold every cell', async () => {
    for (const cells of ['1/2', '2/2']) await runPlannedStudy(plan(), new FakeExecutor(), { directory, cells });
    expect((await readResults(directory)).map((r) => r.key).sort()).toEqual(
      plan()
        .cells.map((c) => c.key)
        .sort(),
    );
  });

  it('names the file and line of a broken result', async () => {
    await runPlannedStudy(plan(), new FakeExecutor(), { directory });
    await appendFile(join(directory, 'results.jsonl'), 'oops\n{}\n');
    await expect(readResults(directory)).rejects.toThrow(/results\.jsonl:8/);
  });

  it('computes cells at once: a subset after its baselines, a shared selection by one cell alone, lines in the order of the plan', async () => {
    const study = plan('[43, 44]');
    const running = new Set<PlannedCell>();
    const finished = new Set<string>();
    const selected = new Set<string>();
    let most = 0;
    class Concurrent extends FakeExecutor {
      readonly concurrency = 3;
      override async compute(cell: PlannedCell): Promise<CellOutcome> {
        for (const baseline of study.cells)
          if (cell.kind === 'subset' && (baseline.kind === 'unrepaired' || (baseline.kind === 'full' && baseline.group === cell.group)))
            expect(finished.has(baseline.key)).toBe(true);
        for (const other of running)
          if (cell.selector === 'saps' && other.selector === 'saps' && other.poolHash === cell.poolHash)
            expect(selected.has(cell.selectionKey as string)).toBe(true);
        running.add(cell);
        most = Math.max(most, running.size);
        // later cells are the faster ones, so that they end in another order
        await setTimeout(40 - 2 * study.cells.indexOf(cell));
        running.delete(cell);
        finished.add(cell.key);
        if (cell.selectionKey) selected.add(cell.selectionKey);
        return super.compute(cell);
      }
    }
    const executor = new Concurrent();
    const summary = await runPlannedStudy(study, executor, { directory });
    expect(most).toBe(3);
    expect(executor.computed).not.toEqual(study.cells.map((c) => c.key));
    const keys = (await readFile(join(directory, 'results.jsonl'), 'utf8'))
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { key: string }).key);
    expect(keys).toEqual(study.cells.map((c) => c.key));
    expect(summary.results.filter((r) => r.kind === 'subset').every((r) => r.metrics?.rps === 1)).toBe(true);
  });

  it('an error of one of several cells lets the others end and keeps them', async () => {
    const controller = new AbortController();
    class Interrupted extends FakeExecutor {
      readonly concurrency = 3;
      override async compute(cell: PlannedCell): Promise<CellOutcome> {
        if (cell.kind === 'subset') {
          controller.abort();
          throw new MendsetError('aborted', 'stop');
        }
        await setTimeout(20);
        return super.compute(cell);
      }
    }
    const run = runPlannedStudy(plan('[43, 44]'), new Interrupted(), { directory, signal: controller.signal });
    await expect(run).rejects.toMatchObject({ code: 'aborted' });
    expect((await readResults(directory)).map((r) => r.kind)).toEqual(expect.arrayContaining(['unrepaired', 'full']));
  });

  it('takes over the lock of another machine only when it gave no sign of life for long', async () => {
    await runPlannedStudy(plan(), new FakeExecutor(), { directory });
    const lock = join(directory, '.lock-1-of-1');
    await writeFile(lock, JSON.stringify({ pid: 1, host: 'elsewhere' }));
    await expect(runPlannedStudy(plan(), new FakeExecutor(), { directory })).rejects.toThrow(
      /process 1 on elsewhere holds it \(last sign of life 0 s ago\)/,
    );
    const past = new Date(Date.now() - 600_000);
    await utimes(lock, past, past);
    expect((await runPlannedStudy(plan(), new FakeExecutor(), { directory })).kept).toBe(7);
  });

  it('a file with repeated and failed lines is left with one line a cell once everything is done', async () => {
    const failing = new FakeExecutor((cell) => {
      if (cell.selector === 'random') throw new MendsetError('non-finite', 'NaN');
    });
    await runPlannedStudy(plan(), failing, { directory });
    await runPlannedStudy(plan(), new FakeExecutor(), { directory });
    const lines = (await readFile(join(directory, 'results.jsonl'), 'utf8'))
      .trim()
      .split('\n')
      .map((l) => JSON.parse(l) as { key: string; status: string });
    expect(lines.map((l) => l.key)).toEqual(plan().cells.map((c) => c.key));
    expect(lines.every((l) => l.status === 'done')).toBe(true);
  });
});
