import { MendsetError } from '../../core/errors.ts';
import { resultsTable } from '../../report/text-report.ts';
import { textTable } from '../../report/text-table.ts';
import { cellTitle } from '../../study/cell-result.ts';
import { EngineExecutor } from '../../study/engine-executor.ts';
import { estimateStudy } from '../../study/estimate.ts';
import { openStudy } from '../../study/open-study.ts';
import { cellsOfShare } from '../../study/plan.ts';
import { readResults } from '../../study/results-file.ts';
import { parseShare, runPlannedStudy } from '../../study/run-study.ts';
import type { CommandContext } from '../command-context.ts';
import { commandLine } from '../command-line.ts';
import { formatDuration } from '../progress.ts';

export async function run(context: CommandContext): Promise<number> {
  const { options, argument, shared, signal, progress, argv, result } = context;
  const dryRun = options.flag('dryRun');
  const resume = options.flag('resume');
  const directory = dryRun ? (options.text('out') ?? '') : options.required('out', 'to name the folder of the results');
  const cellsText = options.text('cells');
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

  if (dryRun) {
    const done = new Set(directory === '' ? [] : (await readResults(directory)).filter((r) => r.status === 'done').map((r) => r.key));
    const estimate = await estimateStudy(plan, inputs, cells);
    const total = estimate.flops.repair + estimate.flops.features + estimate.flops.evaluation;
    const rows = cells.map((c) => [cellTitle(c), c.key, done.has(c.key) ? 'done' : '']);
    const tera = (flops: number) => `${(flops / 1e12).toPrecision(3)} TFLOP`;
    const text = [
      textTable(['cell', 'key', ''], rows, { left: 3 }),
      '',
      `${cells.length} cells: ${estimate.cells.unrepaired} unrepaired, ${estimate.cells.full} on all data, ${estimate.cells.subset} on subsets from ${estimate.cells.selections} selections`,
      ...estimate.models.map(
        (m) =>
          `model ${m.name}: about ${(m.parameters / 1e6).toFixed(1)} M parameters, ${m.tokensPerRecord.toFixed(0)} tokens for each record`,
      ),
      `estimated work: ${tera(total)} (repair ${tera(estimate.flops.repair)}, features ${tera(estimate.flops.features)}, evaluation ${tera(estimate.flops.evaluation)})`,
    ].join('\n');
    result(
      {
        config: plan.config,
        facts: plan.facts,
        estimate,
        cells: cells.map((c) => ({
          key: c.key,
          title: cellTitle(c),
          kind: c.kind,
          model: c.model,
          selector: c.selector,
          repair: c.repair,
          proportion: c.proportion,
          boundaryRatio: c.boundaryRatio,
          seed: c.seed,
          done: done.has(c.key),
        })),
      },
      text,
    );
    return 0;
  }

  context.onInterrupted(() => `Finished cells are kept in ${directory}. To continue:\n  ${commandLine(argv)}`);
  const executor = new EngineExecutor(inputs, { directory, backend: shared.backend, threads: shared.threads });
  let started = performance.now();
  try {
    let finished = 0;
    const summary = await runPlannedStudy(plan, executor, {
      directory,
      resume,
      cells: cellsText,
      signal,
      onProgress: (event) => progress.update(event, `cell ${event.cellIndex}/${event.cellCount} ${event.cell}`),
      onCell: (cell) => {
        finished++;
        const seconds = (performance.now() - started) / 1000;
        started = performance.now();
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
  }
}
