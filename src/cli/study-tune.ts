import { textTable } from '../report/text-table.ts';
import { cellTitle, formatPercent } from '../study/cell-result.ts';
import type { StudyConfig } from '../study/config.ts';
import { EngineExecutor } from '../study/engine-executor.ts';
import { withFetchedPaths } from '../study/hub-paths.ts';
import { readStudyInputs } from '../study/study-inputs.ts';
import { withAbsolutePaths } from '../study/study-paths.ts';
import { type TuneResult, tuneStudy } from '../study/tune.ts';
import type { CommandContext } from './command-context.ts';
import { commandLine } from './command-line.ts';
import { formatDuration } from './progress.ts';

/** `mendset study FILE --tune`: what to use, how sure that is, and what it cost to find out. */
export async function runTune(
  context: CommandContext,
  config: StudyConfig,
  path: string,
  directory: string,
  budget: number | undefined,
): Promise<number> {
  const { shared, signal, progress, argv, result } = context;
  context.onInterrupted(() => `Finished cells are kept in ${directory}. To continue:\n  ${commandLine(argv)}`);
  const found = await tuneStudy(
    config,
    async (changed) => readStudyInputs(await withFetchedPaths(withAbsolutePaths(changed, path), { signal }), { signal }),
    (inputs, folder) => new EngineExecutor(inputs, { directory: folder, backend: shared.backend, threads: shared.threads }),
    {
      directory,
      budget,
      signal,
      onProgress: (event) => progress.update(event, `cell ${event.cellIndex}/${event.cellCount} ${event.cell}`),
      onCell: (cell) => progress.end(cellTitle(cell)),
    },
  );
  result(found, tuneText(found));
  return 0;
}

function tuneText(found: TuneResult): string {
  const name = found.objective === 'ops' ? 'OPS' : 'toxicity';
  const rows = found.finalists.map((f) => [
    f.title,
    f.mean.toFixed(4),
    f.sd === null ? '' : f.sd.toFixed(4),
    String(f.seeds),
    formatDuration(f.costSeconds),
  ]);
  const rounds = found.rounds.map(
    (r, i) =>
      `round ${i + 1}: ${r.arms} combinations on ${formatPercent(r.fidelity)} of window and texts, ${r.seeds} ${r.seeds === 1 ? 'seed' : 'seeds'}, ${formatDuration(r.seconds)}; best: ${r.best}`,
  );
  const sure =
    found.confidence === null
      ? 'One seed cannot tell how sure that is: give the study more seeds.'
      : `It is the best of the finalists with ${(100 * found.confidence).toFixed(0)} % confidence, by the spread over seeds.`;
  return [
    `Use ${found.recommendation.title}: ${name} ${found.value.toFixed(4)}. ${sure}`,
    '',
    textTable(['finalist', name, 'sd', 'seeds', 'cost'], rows),
    '',
    ...rounds,
    `cost: ${found.cells} cells in ${formatDuration(found.seconds)}, ${(100 * found.workShare).toFixed(0)} % of the work of the grid's ${found.gridCells} cells (about ${formatDuration(found.gridSeconds)})`,
  ].join('\n');
}
