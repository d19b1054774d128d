import { type CellResult, formatPercent } from '../study/cell-result.ts';
import { answerMarkup } from './answers.ts';
import { type LineSeries, legendMark, lineChart } from './charts.ts';
import { type CellGroup, groupCells, statOf } from './groups.ts';
import { escapeMarkup, scrollRegion } from './markup.ts';
import { formatMeasure, type Measure, measuresOf } from './measures.ts';
import { type Section, unique } from './section.ts';

/** Research questions 3 and 4: quality over the share of data (charts for each repair), and over the boundary ratio. */
export function sweepSections(results: readonly CellResult[]): Section[] {
  const measures = measuresOf(results).filter((m) => m.id === 'ops' || m.id === 'toxicity.repair' || m.id.endsWith('.tokenPpl'));
  const groups = groupCells(results);
  const models = unique(groups.map((g) => g.model));
  const figures = (draw: (model: string, i: number, measure: Measure) => string[], question: 3 | 4) =>
    models
      .map((model, i) => {
        const charts = measures.map((measure) => draw(model, i, measure).join(''));
        const shown = charts.filter((c) => c !== '');
        if (shown.length === 0) return '';
        const rest = shown.slice(1).join('');
        const more = rest === '' ? '' : `<details class="print"><summary>Other figures of the same sweep</summary>${rest}</details>`;
        return `${answerMarkup(results, question, model)}${shown[0]}${more}`;
      })
      .join('');
  return [
    { id: 'proportions', title: 'How much data is enough', body: figures((model, i, m) => shareFigures(groups, model, i, m), 3) },
    {
      id: 'boundary',
      title: 'Boundary or centre of the clusters',
      body: figures((model, i, m) => boundaryFigures(groups, model, i, m), 4),
    },
  ];
}

function shareFigures(groups: readonly CellGroup[], model: string, i: number, measure: Measure): string[] {
  const subsets = groups.filter((g) => g.model === model && g.kind === 'subset');
  const full = groups.filter((g) => g.model === model && g.kind === 'full');
  const selectors = unique(subsets.map((g) => g.selector));
  return unique(subsets.map((g) => g.repair)).map((repair, r) => {
    const series = selectors.map((selector, k) => {
      const own = subsets.filter(
        (g) => g.selector === selector && g.repair === repair && (g.boundaryRatio === null || g.boundaryRatio === 1),
      );
      return sweepSeries(selector, k, [...own, ...full.filter((g) => g.repair === repair)], measure, (g) => g.proportion, formatPercent);
    });
    return sweepFigure(`share-${measure.id}-${i}-${r}`, `${model}, ${repair}`, 'share of the data', measure, series, formatPercent);
  });
}

function boundaryFigures(groups: readonly CellGroup[], model: string, i: number, measure: Measure): string[] {
  const mixed = groups.filter((g) => g.model === model && g.kind === 'subset' && g.boundaryRatio !== null);
  const kinds = unique(mixed.map((g) => JSON.stringify([g.selector, g.repair, g.proportion])));
  const series = kinds.map((kind, k) => {
    const [selector, repair, proportion] = JSON.parse(kind) as [string, string, number];
    const own = mixed.filter((g) => g.selector === selector && g.repair === repair && g.proportion === proportion);
    return sweepSeries(`${repair}, ${selector}, ${formatPercent(proportion)}`, k, own, measure, (g) => g.boundaryRatio as number, String);
  });
  return [sweepFigure(`boundary-${measure.id}-${i}`, model, 'boundary ratio (0 = centre, 1 = boundary)', measure, series, String)];
}

function sweepSeries(
  label: string,
  colour: number,
  groups: readonly CellGroup[],
  quality: Measure,
  x: (g: CellGroup) => number,
  tick: (x: number) => string,
): LineSeries {
  const points = groups.flatMap((g) => {
    const stat = statOf(g, quality);
    if (!stat) return [];
    const at = x(g);
    return [
      {
        x: at,
        y: stat.mean * quality.scale,
        sd: stat.sd === null ? null : stat.sd * quality.scale,
        label: `${label}, ${tick(at)}: ${quality.title} ${formatMeasure(quality, stat.mean)}`,
      },
    ];
  });
  return { label, colour, points };
}

/** Nothing when fewer than three places on the axis were measured: two points are a table, not a curve. */
function sweepFigure(
  id: string,
  title: string,
  axis: string,
  quality: Measure,
  series: readonly LineSeries[],
  tick: (x: number) => string,
): string {
  const lines = series.filter((s) => s.points.length > 1);
  if (new Set(lines.flatMap((s) => s.points.map((p) => p.x))).size < 3) return '';
  const chart = lineChart(
    id,
    title,
    `${quality.title} of the repaired model; bars are one standard deviation over seeds. The table of all cells holds the numbers.`,
    { x: axis, y: quality.title },
    lines,
    tick,
  );
  const legend = lines.map((s) => `<li>${legendMark(s.colour, s.colour)}${escapeMarkup(s.label)}</li>`);
  return `<figure><figcaption>${escapeMarkup(`${title}: ${quality.title} (${quality.better} is better); bars are ± one standard deviation over seeds.`)}</figcaption><ul class="legend">${legend.join('')}</ul>${scrollRegion(title, chart)}</figure>`;
}
