import { availableParallelism } from 'node:os';
import { MendsetError } from '../../core/errors.ts';
import { defaultMemoryLimit, requireMemory } from '../../core/memory.ts';
import { resultsTable } from '../../report/text-report.ts';
import { cellTitle } from '../../study/cell-result.ts';
import { EngineExecutor } from '../../study/engine-executor.ts';
import { estimateStudy } from '../../study/estimate.ts';
import type { StudyExecutor } from '../../study/executor.ts';
import { openStudy } from '../../study/open-study.ts';
import { cellsOfShare, type PlannedCell } from '../../study/plan.ts';
import { ProcessPoolExecutor } from '../../study/process-pool-executor.ts';
import { readResults } from '../../study/results-file.ts';
import { parseShare, runPlannedStudy } from '../../study/run-study.ts';
import type { StudyInputs } from '../../study/study-inputs.ts';
import { studyJsonSchema } from '../../study/study-schema.ts';
import type { CommandContext } from '../command-context.ts';
import { commandLine } from '../command-line.ts';
import { formatDuration } from '../progress.ts';
import { runExport } from '../study-export.ts';
import { planText } from '../study-plan.ts';
import { runTune } from '../study-tune.ts';

export async function run(context: CommandContext): Promise<number> {
  if (context.argument === 'export') return await runExport(context);
  if (context.options.flag('schema')) {
    context.result(studyJsonSchema(), JSON.stringify(studyJsonSchema(), null, 2));
    return 0;
  }
  context.options.refuse(['slurm', 'k8s', 'shares', 'image', 'claim'], 'without the word export before the study');
  if (context.furtherWords.length > 0)
    context.options.problem(`Expected no further words after mendset study <file.yaml> but received "${context.furtherWords.join(' ')}".`);
  const { options, argument, shared, signal, progress, argv, result } = context;
  const dryRun = options.flag('dryRun');
  const resume = options.flag('resume');
  const directory = dryRun ? (options.text('out') ?? '') : options.required('out', 'to name the folder of the results');
  const cellsText = options.text('cells');
  const jobs = options.countOr('jobs', ['auto'] as const, 1) ?? 1;
  const memoryLimit = options.bytes('memoryLimit');
  const planOnly = options.flag('planOnly');
  const tune = options.flag('tune');
  const tuneBudget = options.number('tuneBudget', { above: 0, max: 1 });
  if (!tune) options.refuse(['tuneBudget'], 'without --tune');
  else options.refuse(['cells', 'jobs', 'dryRun'], 'with --tune, whose rounds follow from each other');
  let share = { index: 1, of: 1 };
  try {
    share = parseShare(cellsText);
  } catch (error) {
    options.problem((error as Error).message);
  }
  await options.input(argument, 'file', 'study', 'the study');
  await options.output(directory, 'folder', 'out');
  if (shared.seed !== undefined)
    options.problem('Expected no --seed: a study takes its seeds from its file ("seeds" and "training.seed").');
  let opened: Awaited<ReturnType<typeof openStudy>> | null = null;
  if (argument !== undefined) {
    try {
      opened = await openStudy(argument, { signal, onProgress: (event) => progress.update(event) });
    } catch (error) {
      if (!(error instanceof MendsetError) || error.code === 'aborted') throw error;
      // a missing file was named above already
      if (error.code !== 'not-found' || options.problems.length === 0)
        for (const p of error.problems.length > 0 ? error.problems : [error.message]) options.problem(p);
    }
  }
  options.finish();
  const { plan, inputs } = opened as NonNullable<typeof opened>;
  const cells = cellsOfShare(plan, share);

  const results = directory === '' ? [] : await readResults(directory);
  const done = new Set(results.filter((r) => r.status === 'done').map((r) => r.key));
  const missing = cells.filter((c) => !done.has(c.key));
  if (dryRun) {
    const estimate = await estimateStudy(inputs, missing, {
      ...shared,
      calibration: !planOnly,
      signal,
      onProgress: (e) => progress.update(e),
    });
    const title = (c: (typeof cells)[number]) => ({
      key: c.key,
      title: cellTitle(c),
      kind: c.kind,
      model: c.model,
      selector: c.selector,
      repair: c.repair,
    });
    result(
      {
        config: plan.config,
        facts: plan.facts,
        estimate,
        cells: cells.map((c) => ({
          ...title(c),
          proportion: c.proportion,
          boundaryRatio: c.boundaryRatio,
          seed: c.seed,
          done: done.has(c.key),
        })),
      },
      planText(cells, done, estimate, jobs === 'auto' ? 1 : jobs),
    );
    return 0;
  }

  if (tune) {
    return await runTune(context, plan.config, argument as string, directory, tuneBudget);
  }

  context.onInterrupted(() => `Finished cells are kept in ${directory}. To continue:\n  ${commandLine(argv)}`);
  const single = new EngineExecutor(inputs, { directory, backend: shared.backend, threads: shared.threads });
  const processes = await processesFor(inputs, missing, jobs, memoryLimit);
  const executor: StudyExecutor =
    processes === 1
      ? single
      : new ProcessPoolExecutor(
          argument as string,
          {
            jobs: processes,
            directory,
            backend: shared.backend,
            threads: shared.threads ?? Math.max(1, Math.floor(availableParallelism() / processes)),
          },
          single,
        );
  const started = new Map<string, number>();
  try {
    let finished = 0;
    const summary = await runPlannedStudy(plan, executor, {
      directory,
      resume,
      cells: cellsText,
      signal,
      onProgress: (event) => {
        if (!started.has(event.cell)) started.set(event.cell, performance.now());
        progress.update(event, `cell ${event.cellIndex}/${event.cellCount} ${event.cell}`);
      },
      onCell: (cell) => {
        finished++;
        progress.end(cellTitle(cell));
        const seconds = (performance.now() - (started.get(cellTitle(cell)) ?? performance.now())) / 1000;
        const state = cell.status === 'failed' ? `failed: ${cell.error}` : `done in ${formatDuration(seconds)}`;
        progress.log(`${finished}. ${cellTitle(cell)}: ${state}`);
      },
    });
    const document = {
      directory,
      resultsFile: summary.resultsFile,
      computed: summary.computed,
      kept: summary.kept,
      failed: summary.failed,
      cells: summary.results.length,
    };
    result(
      document,
      `${resultsTable(summary.results)}\n\n${summary.computed} cells computed, ${summary.kept} kept, ${summary.failed.length} failed\nresults  ${summary.resultsFile}\nreport   mendset report ${directory}`,
    );
    return summary.failed.length > 0 ? 1 : 0;
  } finally {
    executor.dispose();
    single.dispose();
  }
}

/** As many processes as were asked for, or as fit into the memory; refuses more than fit. */
async function processesFor(
  inputs: StudyInputs,
  cells: readonly PlannedCell[],
  jobs: number | 'auto',
  memoryLimit: number | undefined,
): Promise<number> {
  if (jobs === 1 && memoryLimit === undefined) return 1;
  const { memoryBytes } = await estimateStudy(inputs, cells, { calibration: false });
  const most = Math.floor((memoryLimit ?? defaultMemoryLimit()) / Math.max(1, memoryBytes));
  if (jobs === 'auto') return Math.max(1, Math.min(most, availableParallelism(), cells.length));
  requireMemory(
    `${jobs} ${jobs === 1 ? 'process' : 'processes'} of this study`,
    { [`${jobs} x a repair`]: jobs * memoryBytes },
    memoryLimit,
  );
  return jobs;
}
