import { type CellResult, cellTitle, formatPercent } from '../study/cell-result.ts';
import type { TuneResult } from '../study/tune.ts';
import { type CellGroup, groupCells, intervalOf, statOf } from './groups.ts';
import { formatMeasure, formatNumber, type Measure, mainMeasuresOf, measuresOf } from './measures.ts';
import { unique } from './section.ts';
import { sentenceText, summarise } from './summary.ts';
import { csvTable, textTable } from './text-table.ts';
import { tuneSentences } from './tune-section.ts';

/** One row for each combination, means over seeds: the table that `study` and `report` print. */
export function resultsTable(results: readonly CellResult[]): string {
  const measures = mainMeasuresOf(results);
  const groups = groupCells(results);
  const models = unique(groups.map((g) => g.model));
  return models
    .map((model) => {
      const own = groups.filter((g) => g.model === model);
      const rows = own.map((g) => [
        g.kind === 'unrepaired' ? 'unrepaired' : g.repair,
        selectorText(g),
        ...measures.map((m) => formatMeasure(m, statOf(g, m)?.mean ?? null)),
      ]);
      return `${model}\n${textTable(['repair', 'data', ...measures.map(shortTitle)], rows, { left: 2 })}`;
    })
    .join('\n\n');
}

function selectorText(g: CellGroup): string {
  if (g.kind === 'unrepaired') return '';
  if (g.kind === 'full') return 'all';
  return `${g.selector} ${formatPercent(g.proportion)}${g.boundaryRatio === null || g.boundaryRatio === 1 ? '' : ` rho ${g.boundaryRatio}`}`;
}

function shortTitle(measure: Measure): string {
  if (measure.id === 'selectionSeconds') return 'select s';
  if (measure.id === 'repairSeconds') return 'repair s';
  return measure.title.replace('perplexity', 'ppl').replace('accuracy', 'acc');
}

/** The report as plain text. */
export function textReport(results: readonly CellResult[], tune: TuneResult | null = null): string {
  const study = results[0]?.study ?? { name: 'study', demo: false };
  const measures = measuresOf(results);
  const parts = [
    study.name,
    study.demo
      ? 'Demonstration on the small model and data that come with mendset: the figures show that the pipeline works, not how methods compare.'
      : '',
    summarise(results)
      .map((s) => `- ${sentenceText(s)}`)
      .join('\n'),
    tune ? ['What to use', ...tuneSentences(tune, results).map((s) => `- ${sentenceText(s)}`)].join('\n') : '',
    resultsTable(results),
    intervals(results, mainMeasuresOf(results)),
    ['What the numbers mean', ...measures.map((m) => `- ${m.title}${m.unit ? ` (${m.unit})` : ''}: ${m.explanation}`)].join('\n'),
    ['Conventions', ...unique(results.flatMap((c) => Object.entries(c.figures).map(([name, f]) => `- ${name}: ${f.convention}`)))].join(
      '\n',
    ),
    [
      'Machine',
      ...unique(
        results.map(
          (c) =>
            `- mendset ${c.machine.mendset}, Node ${c.machine.node}, ${c.machine.platform}, ${c.machine.cpu}, ${c.machine.isa}, ${c.machine.backend}, ${c.machine.threads} threads`,
        ),
      ),
    ].join('\n'),
    results.some((c) => c.status === 'failed')
      ? ['Failed cells', ...results.filter((c) => c.status === 'failed').map((c) => `- ${cellTitle(c)}: ${c.error}`)].join('\n')
      : '',
  ];
  return `${parts.filter((p) => p !== '').join('\n\n')}\n`;
}

function intervals(results: readonly CellResult[], measures: readonly Measure[]): string {
  const rows = groupCells(results).flatMap((g) =>
    measures.flatMap((m) => {
      const interval = intervalOf(g, m);
      const stat = statOf(g, m);
      const name = [g.model, g.kind === 'unrepaired' ? 'unrepaired' : g.repair, selectorText(g)];
      if (interval)
        return [[...name, m.title, `${formatNumber(interval[0] * m.scale, m.digits)} to ${formatNumber(interval[1] * m.scale, m.digits)}`]];
      return stat?.sd == null ? [] : [[...name, m.title, `± ${formatNumber(stat.sd * m.scale, m.digits)} (${stat.seeds} seeds)`]];
    }),
  );
  return rows.length === 0
    ? ''
    : `Spread: 95 % bootstrap intervals over prompts (one seed), or standard deviations over seeds\n${textTable(['model', 'repair', 'data', 'figure', 'spread'], rows, { left: 4 })}`;
}

/** Every cell with unscaled values. */
export function cellsCsv(results: readonly CellResult[]): string {
  const measures = measuresOf(results);
  const header = [
    'model',
    'kind',
    'repair',
    'kl',
    'selector',
    'proportion',
    'boundary_ratio',
    'seed',
    'status',
    ...measures.map((m) => m.id),
    'examples',
    'steps',
    'flops',
    'evaluation_seconds',
    'key',
  ];
  const rows = results.map((c) => [
    c.model,
    c.kind,
    c.repair,
    String(c.kl),
    c.selector,
    c.proportion,
    c.boundaryRatio,
    c.seed,
    c.status,
    ...measures.map((m) => m.read(c)),
    c.repairRun?.examples ?? null,
    c.repairRun?.steps ?? null,
    c.repairRun?.flops ?? null,
    c.evaluationSeconds,
    c.key,
  ]);
  return csvTable(header, rows);
}

/** Means and standard deviations over seeds, unscaled. */
export function groupsCsv(results: readonly CellResult[]): string {
  const measures = measuresOf(results);
  const header = [
    'model',
    'kind',
    'repair',
    'selector',
    'proportion',
    'boundary_ratio',
    'seeds',
    ...measures.flatMap((m) => [`${m.id}_mean`, `${m.id}_sd`]),
  ];
  const rows = groupCells(results).map((g) => [
    g.model,
    g.kind,
    g.repair,
    g.selector,
    g.proportion,
    g.boundaryRatio,
    g.cells.length,
    ...measures.flatMap((m) => {
      const s = statOf(g, m);
      return [s?.mean ?? null, s?.sd ?? null];
    }),
  ]);
  return csvTable(header, rows);
}
