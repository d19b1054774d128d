import { type CellResult, formatPercent } from '../study/cell-result.ts';
import { answerMarkup } from './answers.ts';
import { legendMark, scatterChart, stackedBars } from './charts.ts';
import { type CellGroup, groupCells, groupTitle, statOf } from './groups.ts';
import { dataMarkup, escapeMarkup, measureMarkup, scrollRegion, secondsMarkup } from './markup.ts';
import { formatMeasure, type Measure, measuresOf } from './measures.ts';
import { secondsText } from './seconds-text.ts';
import { type Section, unique } from './section.ts';

/** Selection cost against what it brought. */
export function costSection(results: readonly CellResult[]): Section {
  const measures = measuresOf(results);
  const quality = measures.find((m) => m.id === 'ops') ?? measures.find((m) => m.id.startsWith('toxicity.'));
  const cost = measures.find((m) => m.id === 'selectionSeconds');
  const parts: string[] = [];
  for (const [i, model] of unique(results.map((r) => r.model)).entries()) {
    const groups = groupCells(results).filter((g) => g.model === model && g.kind === 'subset' && quality && statOf(g, quality));
    if (!quality || !cost || groups.length === 0) continue;
    const selectors = unique(groups.map((g) => g.selector));
    const repairs = unique(groups.map((g) => g.repair));
    const points = groups.map((g) => {
      const x = statOf(g, cost)?.mean ?? 0;
      const y = statOf(g, quality)?.mean as number;
      return {
        x,
        y: y * quality.scale,
        colour: selectors.indexOf(g.selector),
        shape: repairs.indexOf(g.repair),
        label: `${g.selector}, ${g.repair}, ${formatPercent(g.proportion)}: ${secondsText(x)}, ${quality.title} ${formatMeasure(quality, y)}`,
      };
    });
    const front = paretoFront(groups, cost, quality);
    const description = `Each mark is one selector with one repair: how long selecting took, and the ${quality.title} of the repaired model. The same numbers stand in the tables.`;
    const chart = scatterChart(
      `cost-${i}`,
      `Selection cost against ${quality.title}, ${model}`,
      description,
      { x: 'selection, seconds (logarithmic; up to 1 ms at the left edge)', y: quality.title },
      points,
      0.001,
      front.map((g) => points[groups.indexOf(g)] as (typeof points)[number]),
    );
    const legend = [
      ...selectors.map((s, k) => `<li>${legendMark(k, 0)}${escapeMarkup(s)}</li>`),
      ...repairs.map((r, k) => `<li>${legendMark(-1, k)}${escapeMarkup(r)}</li>`),
    ];
    const rows = front.map(
      (g) =>
        `<tr><th scope="row">${escapeMarkup(groupTitle(g))}</th><td>${secondsMarkup(statOf(g, cost)?.mean ?? 0)}</td><td>${measureMarkup(quality, statOf(g, quality)?.mean ?? null)}</td></tr>`,
    );
    parts.push(
      answerMarkup(results, 2, model),
      `<figure><figcaption>${escapeMarkup(`${model}: ${quality.title} (${quality.better} is better) against selection time. Colour is the selector, shape the repair; the line joins the combinations that no other one beats in both (the Pareto front).`)}</figcaption><ul class="legend">${legend.join('')}</ul>${scrollRegion('Selection cost chart', chart)}</figure>`,
      scrollRegion(
        `Pareto front, ${model}`,
        `<table><caption><span>The Pareto front: nothing cheaper to select is better.</span></caption><thead><tr><th scope="col">combination</th><th scope="col">selection</th><th scope="col">${escapeMarkup(quality.title)}</th></tr></thead><tbody>${rows.join('')}</tbody></table>`,
      ),
    );
  }
  return { id: 'cost', title: 'What selection costs and what it brings', body: parts.join('') };
}

/** Groups that no other one beats in both cost and quality, the cheapest first. */
export function paretoFront(groups: readonly CellGroup[], cost: Measure, quality: Measure): CellGroup[] {
  const sign = quality.better === 'lower' ? -1 : 1;
  const rated = groups
    .map((g) => ({ g, x: statOf(g, cost)?.mean ?? 0, y: sign * (statOf(g, quality)?.mean as number) }))
    .sort((a, b) => a.x - b.x || b.y - a.y);
  let best = Number.NEGATIVE_INFINITY;
  return rated.flatMap(({ g, y }) => {
    if (y <= best) return [];
    best = y;
    return [g];
  });
}

/** Selection, repair and evaluation seconds of each combination. */
export function timeSection(results: readonly CellResult[]): Section {
  const parts: string[] = [];
  const mean = (g: CellGroup, read: (c: CellResult) => number | null) =>
    g.cells.reduce((sum, c) => sum + (read(c) ?? 0), 0) / g.cells.length;
  for (const [i, model] of unique(results.map((r) => r.model)).entries()) {
    const groups = groupCells(results).filter((g) => g.model === model && g.kind !== 'unrepaired');
    if (groups.length === 0) continue;
    const rows = groups.map((g) => {
      const seconds = [
        mean(g, (c) => c.selection?.seconds ?? 0),
        mean(g, (c) => c.repairRun?.seconds ?? null),
        mean(g, (c) => c.evaluationSeconds),
      ];
      const name = groupTitle(g);
      return { g, name, seconds };
    });
    const names = ['selection', 'repair', 'evaluation'];
    const bars = rows.map((r) => ({ label: r.name, parts: r.seconds, total: secondsText(r.seconds.reduce((a, b) => a + b, 0)) }));
    const chart = stackedBars(
      `time-${i}`,
      `Where the time goes, ${model}`,
      'One bar for each combination: seconds of selection, repair and evaluation. The table below it holds the numbers.',
      names,
      bars,
    );
    const legend = names.map((n, k) => `<li><span class="swatch" style="background:var(--c${k})"></span>${n}</li>`);
    const table = rows.map((r) => {
      const reused = r.g.cells.some((c) => c.selection?.reused) ? ' <small>reused</small>' : '';
      const flops = mean(r.g, (c) => c.repairRun?.flops ?? null) / 1e12;
      const examples = mean(r.g, (c) => c.repairRun?.examples ?? null);
      return `<tr><th scope="row">${escapeMarkup(r.name)}</th><td>${secondsMarkup(r.seconds[0] as number)}${reused}</td><td>${secondsMarkup(r.seconds[1] as number)}</td><td>${secondsMarkup(r.seconds[2] as number)}</td><td>${dataMarkup(examples, examples.toFixed(0))}</td><td>${flops > 0 ? dataMarkup(flops, flops.toPrecision(3)) : '–'}</td></tr>`;
    });
    parts.push(
      `<figure><figcaption>${escapeMarkup(model)}: wall-clock time of each combination, mean over seeds.</figcaption><ul class="legend">${legend.join('')}</ul>${scrollRegion('Time chart', chart)}</figure>`,
      `<details class="print"><summary>The same as numbers</summary>${scrollRegion('Time table', `<table><caption><span>Seconds, training examples and counted TFLOP of the repair; “reused” marks selections that another cell of the study had already computed, with their first cost.</span></caption><thead><tr><th scope="col">combination</th><th scope="col">selection</th><th scope="col">repair</th><th scope="col">evaluation</th><th scope="col">examples</th><th scope="col">TFLOP</th></tr></thead><tbody>${table.join('')}</tbody></table>`)}</details>`,
    );
  }
  return { id: 'time', title: 'Where the time goes', body: parts.join('') };
}
