import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { INPUT_ERROR_CODES, MendsetError } from '../core/errors.ts';
import { writeFileAtomic } from '../core/files.ts';
import { type ProgressEvent, type RunOptions, throwIfAborted } from '../core/run-options.ts';
import { cellMetrics } from './cell-metrics.ts';
import { type CellResult, cellTitle } from './cell-result.ts';
import { computeInOrder } from './compute-in-order.ts';
import type { CellOutcome, StudyExecutor } from './executor.ts';
import { lockShare } from './lock-share.ts';
import { cellsOfShare, type PlannedCell, type Share, type StudyPlan } from './plan.ts';
import { appendResult, readResults, resultsFileName, settleResults } from './results-file.ts';
import { openStudyFolder } from './study-folder.ts';

export interface StudyProgress extends ProgressEvent {
  /** The cell being computed, its number among this run's cells (from 1) and their count */
  readonly cell: string;
  readonly cellIndex: number;
  readonly cellCount: number;
}

export interface RunStudyOptions extends Omit<RunOptions, 'onProgress'> {
  /** Where study.json, results.jsonl, samples/ and caches go */
  readonly directory: string;
  /** Refuse to begin a new study */
  readonly resume?: boolean | undefined;
  /** `i/n`: compute the i-th of n shares (from 1); default everything */
  readonly cells?: string | undefined;
  readonly onProgress?: ((event: StudyProgress) => void) | undefined;
  /** Told after each cell, with how many seconds it took */
  readonly onCell?: ((result: CellResult) => void) | undefined;
}

export interface StudySummary {
  readonly directory: string;
  readonly resultsFile: string;
  readonly computed: number;
  /** Cells that an earlier run had already computed */
  readonly kept: number;
  readonly failed: readonly string[];
  readonly results: readonly CellResult[];
}

/** Reads `i/n`; throws `invalid-argument`. */
export function parseShare(text: string | undefined): Share {
  if (text === undefined) return { index: 1, of: 1 };
  const match = /^(\d{1,6})\/(\d{1,6})$/.exec(text.trim());
  const index = Number(match?.[1]);
  const of = Number(match?.[2]);
  if (match && index >= 1 && index <= of) return { index, of };
  throw new MendsetError('invalid-argument', `Expected --cells as i/n with 1 <= i <= n, for example 2/8, but received "${text}".`);
}

/**
 * Computes the cells of a plan that `directory` does not hold yet, as many at once as the executor can, and appends each to
 * results.jsonl as soon as it exists. A cell that fails is recorded with its error and does not stop the others; it is tried again
 * by the next run. In the end the lines stand in the order of the plan.
 * Rejects with `aborted` when the signal fires (everything finished so far is kept), and with the executor's error when its input
 * proves wrong before the first cell.
 */
export async function runPlannedStudy(plan: StudyPlan, executor: StudyExecutor, options: RunStudyOptions): Promise<StudySummary> {
  const share = parseShare(options.cells);
  const cells = cellsOfShare(plan, share);
  const held = new Set((await readResults(options.directory)).filter((r) => r.status === 'done').map((r) => r.key));
  await executor.check?.(
    cells.filter((c) => !held.has(c.key)),
    { signal: options.signal },
  );
  await openStudyFolder(options.directory, plan, options.resume ?? false);
  const unlock = await lockShare(options.directory, share);
  try {
    const results = new Map((await readResults(options.directory)).map((r) => [r.key, r]));
    const missing = cells.filter((c) => results.get(c.key)?.status !== 'done');
    const resultsFile = join(options.directory, resultsFileName(share));
    const failed: string[] = [];
    let appended = Promise.resolve();
    await computeInOrder(missing, executor.concurrency ?? 1, options.signal, async (cell, i) => {
      const title = cellTitle(cell);
      const onProgress = (event: ProgressEvent) =>
        options.onProgress?.({ ...event, cell: title, cellIndex: i + 1, cellCount: missing.length });
      onProgress({ phase: 'start', done: 0, total: 1 });
      const result = await computeCell(plan, cell, executor, results, { ...options, onProgress });
      appended = appended.then(() => appendResult(resultsFile, result));
      await appended;
      results.set(cell.key, result);
      if (result.status === 'failed') failed.push(`${title}: ${result.error}`);
      options.onCell?.(result);
    });
    const keys = cells.map((c) => c.key);
    await settleResults(resultsFile, keys, results);
    const title = plan.config.name;
    if (failed.length === 0)
      await executor.finish?.(cells, {
        signal: options.signal,
        onProgress: (event) => options.onProgress?.({ ...event, cell: title, cellIndex: missing.length, cellCount: missing.length }),
      });
    return {
      directory: options.directory,
      resultsFile,
      computed: missing.length - failed.length,
      kept: cells.length - missing.length,
      failed,
      results: keys.map((key) => results.get(key) as CellResult),
    };
  } finally {
    await unlock();
  }
}

async function computeCell(
  plan: StudyPlan,
  cell: PlannedCell,
  executor: StudyExecutor,
  results: ReadonlyMap<string, CellResult>,
  options: RunOptions & { directory: string },
): Promise<CellResult> {
  const common = {
    schema: 1 as const,
    study: { name: plan.config.name, demo: plan.config.demo },
    key: cell.key,
    kind: cell.kind,
    model: cell.model,
    selector: cell.selector,
    repair: cell.repair,
    kl: cell.kl,
    proportion: cell.proportion,
    boundaryRatio: cell.boundaryRatio,
    seed: cell.seed,
    modelHash: cell.modelHash,
    poolHash: cell.poolHash,
    trainingSeed: cell.repairConfig?.training.seed ?? null,
  };
  let outcome: CellOutcome;
  try {
    outcome = await executor.compute(cell, { signal: options.signal, onProgress: options.onProgress });
  } catch (error) {
    throwIfAborted(options.signal);
    if (error instanceof MendsetError && error.code === 'aborted') throw error;
    if (results.size === 0 && error instanceof MendsetError && INPUT_ERROR_CODES.has(error.code)) throw error;
    return {
      ...common,
      status: 'failed',
      error: error instanceof Error ? error.message : String(error),
      window: null,
      selection: null,
      repairRun: null,
      figures: {},
      scorer: null,
      metrics: null,
      costSeconds: null,
      evaluationSeconds: null,
      peakMemoryBytes: peakMemoryBytes(),
      machine: executor.machine(),
      finishedAt: new Date().toISOString(),
    };
  }
  if (outcome.samples.length > 0) {
    const folder = join(options.directory, 'samples');
    await mkdir(folder, { recursive: true });
    await writeFileAtomic(join(folder, `${cell.key}.jsonl`), outcome.samples.map((s) => `${JSON.stringify(s)}\n`).join(''));
  }
  const { samples: _, ...measured } = outcome;
  const costSeconds = outcome.repairRun && (outcome.selection?.seconds ?? 0) + outcome.repairRun.seconds;
  const of = (kind: string) => [...results.values()].find((r) => r.status === 'done' && isBaseline(r, cell, kind));
  const draft = { ...common, ...measured, costSeconds };
  return {
    ...common,
    status: 'done',
    ...measured,
    metrics:
      cell.kind === 'unrepaired' ? null : cellMetrics(draft, of('unrepaired') ?? null, cell.kind === 'full' ? draft : (of('full') ?? null)),
    costSeconds,
    peakMemoryBytes: outcome.peakMemoryBytes ?? peakMemoryBytes(),
    machine: outcome.machine ?? executor.machine(),
    finishedAt: new Date().toISOString(),
  };
}

/** Is `result` the unrepaired or full-data model that `cell` is measured against? */
function isBaseline(result: CellResult, cell: PlannedCell, kind: string): boolean {
  if (result.kind !== kind || result.model !== cell.model) return false;
  return kind === 'unrepaired' || (result.repair === cell.repair && result.seed === cell.seed);
}

/** Largest resident set of this process so far. */
function peakMemoryBytes(): number {
  return process.resourceUsage().maxRSS * 1024;
}
