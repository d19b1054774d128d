import { formatBytes } from '../core/memory.ts';
import { textTable } from '../report/text-table.ts';
import { cellTitle } from '../study/cell-result.ts';
import type { StudyEstimate } from '../study/estimate.ts';
import type { PlannedCell } from '../study/plan.ts';
import { formatDuration } from './progress.ts';

/** The plan of a study as a person reads it: its cells, what they share, and what they will take. */
export function planText(cells: readonly PlannedCell[], done: ReadonlySet<string>, estimate: StudyEstimate, jobs: number): string {
  const tera = (flops: number) => `${(flops / 1e12).toPrecision(3)} TFLOP`;
  const { flops, shared, seconds } = estimate;
  const total = flops.repair + flops.features + flops.evaluation;
  const rows = cells.map((c) => [cellTitle(c), c.key, done.has(c.key) ? 'done' : '']);
  const passes = Object.entries(shared.featurePasses).map(([kind, n]) => `${n} of ${kind}`);
  const lines = [
    textTable(['cell', 'key', ''], rows, { left: 3 }),
    '',
    `cells     ${cells.length}: ${estimate.cells.unrepaired} unrepaired, ${estimate.cells.full} on all data, ${estimate.cells.subset} on subsets${done.size > 0 ? `; ${done.size} are done, the rest is estimated` : ''}`,
    `once      ${count(shared.unrepairedEvaluations, 'evaluation')} of unrepaired models; ${count(shared.fullRepairs, 'full-data repair')}, ${decimal(shared.subsetsPerFullRepair)} subsets compared with each; ${count(shared.selections, 'selection')}, used by ${decimal(shared.cellsPerSelection)} cells each`,
    `features  ${passes.length === 0 ? 'none' : `passes over a pool: ${passes.join(', ')}`}`,
    ...estimate.models.map(
      (m) =>
        `model     ${m.name}: ${(m.parameters / 1e6).toFixed(1)} M parameters, ${m.tokensPerRecord.toFixed(0)} tokens for each record, at most ${formatBytes(m.memoryBytes)} in one process${repairMemory(m.repairBytes)}`,
    ),
    ...estimate.problems.map((p) => `problem   ${p}`),
    `work      ${tera(total)} (repair ${tera(flops.repair)}, features ${tera(flops.features)}, evaluation ${tera(flops.evaluation)})`,
    `memory    ${formatBytes(estimate.memoryBytes * jobs)}${jobs > 1 ? ` in ${jobs} processes` : ''}`,
    `disk      ${formatBytes(estimate.diskBytes)} in the study folder, and reference states of DPO and KL beside it in cache/`,
    seconds
      ? `time      about ${formatDuration(seconds.total)} (repair ${formatDuration(seconds.repair)}, features ${formatDuration(seconds.features)}, evaluation ${formatDuration(seconds.evaluation)}), from a short calibration on this machine, one cell at a time; choosing and references come on top`
      : `time      not measured (${estimate.models.some((m) => !m.calibrated) ? 'without calibration, or a model does not fit into the free memory' : ''})`,
  ];
  return lines.join('\n');
}

/** What each repair holds, as `mendset repair --dry-run` tells it. */
function repairMemory(bytes: Readonly<Record<string, number | null>>): string {
  const known = Object.entries(bytes).flatMap(([name, b]) => (b === null ? [] : [`${name} ${formatBytes(b)}`]));
  return known.length === 0 ? '' : ` (repairs: ${known.join(', ')})`;
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`;
}

function decimal(value: number): string {
  return String(Number(value.toFixed(1)));
}
