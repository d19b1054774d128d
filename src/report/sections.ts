import { type CellResult, formatPercent } from '../study/cell-result.ts';
import { type LineSeries, legendMark, lineChart, scatterChart, secondsText, stackedBars } from './charts.ts';
import { type CellGroup, groupCells, intervalOf, statOf } from './groups.ts';
import { dataMarkup, escapeMarkup, measureMarkup, scrollRegion, secondsMarkup, sentenceMarkup, statMarkup } from './markup.ts';
import { formatMeasure, isCost, type Measure, measuresOf } from './measures.ts';
import { bestBy, summarise } from './summary.ts';

/** One part of the page; an empty `body` leaves the part out. */
export interface Section {
  readonly id: string;
  readonly title: string;
  readonly body: string;
}

export function summarySection(results: readonly CellResult[]): Section {
  const items = summarise(results).map((s) => `<li>${sentenceMarkup(s)}</li>`);
  return {
    id: 'summary',
    title: 'In short',
    body: items.length === 0 ? '<p>No cell has finished yet.</p>' : `<ul class="lead">${items.join('')}</ul>`,
  };
}

/** For each model and proportion one table of selectors by repairs for every measure. */
export function matrixSections(results: readonly CellResult[]): Section[] {
  const groups = groupCells(results);
  const measures = measuresOf(results).filter((m) => !isCost(m));
  return unique(groups.map((g) => g.model)).map((model, i) => {
    const own = groups.filter((g) => g.model === model);
    const base = own.find((g) => g.kind === 'unrepaired');
    const body: string[] = [];
    if (base) {
      const items = measures
        .filter((m) => statOf(base, m))
        .map(
          (m) =>
            `<li>${escapeMarkup(m.title)} <small>${escapeMarkup(m.unit)}</small><strong>${statMarkup(m, statOf(base, m), intervalOf(base, m))}</strong></li>`,
        );
      body.push(`<p class="sub">The unrepaired model:</p><ul class="base">${items.join('')}</ul>`);
    }
    const settings = unique(
      own.filter((g) => g.kind === 'subset').map((g) => JSON.stringify([g.proportion, g.boundaryRatio === 1 ? null : g.boundaryRatio])),
    );
    for (const setting of settings.length > 0 ? settings : [JSON.stringify([null, null])]) {
      const [proportion, ratio] = JSON.parse(setting) as [number | null, number | null];
      const subsets = own.filter(
        (g) => g.kind === 'subset' && g.proportion === proportion && (g.boundaryRatio === 1 ? null : g.boundaryRatio) === ratio,
      );
      const full = own.filter((g) => g.kind === 'full');
      const part = proportion === null ? '' : `, subset ${formatPercent(proportion)}${ratio === null ? '' : `, boundary ratio ${ratio}`}`;
      for (const measure of measures) {
        if (![...subsets, ...full].some((g) => statOf(g, measure))) continue;
        body.push(matrixTable(measure, `${measure.title} (${measure.unit})${part}`, subsets, full));
      }
    }
    return { id: `results-${i + 1}`, title: `Results: ${model}`, body: body.join('') };
  });
}

function matrixTable(measure: Measure, title: string, subsets: readonly CellGroup[], full: readonly CellGroup[]): string {
  const all = [...subsets, ...full];
  const repairs = unique(all.map((g) => g.repair));
  const selectors = unique(subsets.map((g) => g.selector));
  const values = all.map((g) => statOf(g, measure)?.mean).filter((v) => v !== undefined);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const best = bestBy(subsets, measure);
  const cell = (g: CellGroup | undefined) => {
    const stat = statOf(g, measure);
    if (!g || !stat) return '<td><span class="none">–</span></td>';
    const share = high > low ? (stat.mean - low) / (high - low) : 0.5;
    const good = measure.better === 'lower' ? 1 - share : share;
    const heat = measure.better === null ? '' : ` style="--h:${good.toFixed(3)}"`;
    return `<td class="heat${g === best && measure.better ? ' best' : ''}"${heat}>${statMarkup(measure, stat, intervalOf(g, measure))}</td>`;
  };
  const rows = [
    ...selectors.map((s) => ({ name: s, at: (r: string) => subsets.find((g) => g.selector === s && g.repair === r) })),
    ...(full.length > 0 ? [{ name: 'all the data', at: (r: string) => full.find((g) => g.repair === r) }] : []),
  ];
  const better =
    measure.better === null
      ? ''
      : ` ${measure.better === 'lower' ? 'Lower' : 'Higher'} is better; darker is better, the best subset is framed.`;
  const head = repairs.map((r) => `<th scope="col">${escapeMarkup(r)}</th>`).join('');
  const lines = rows.map((row) => `<tr><th scope="row">${escapeMarkup(row.name)}</th>${repairs.map((r) => cell(row.at(r))).join('')}</tr>`);
  return scrollRegion(
    title,
    `<table data-measure="${escapeMarkup(measure.id)}"><caption><span>${escapeMarkup(title)}.${better}</span></caption><thead><tr><th scope="col">selector</th>${head}</tr></thead><tbody>${lines.join('')}</tbody></table>`,
  );
}

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
    const description = `Each mark is one selector with one repair: how long selecting took, and the ${quality.title} of the repaired model. The same numbers stand in the tables.`;
    const chart = scatterChart(
      `cost-${i}`,
      `Selection cost against ${quality.title}, ${model}`,
      description,
      { x: 'selection, seconds (logarithmic; up to 1 ms at the left edge)', y: quality.title },
      points,
      0.001,
    );
    const legend = [
      ...selectors.map((s, k) => `<li>${legendMark(k, 0)}${escapeMarkup(s)}</li>`),
      ...repairs.map((r, k) => `<li>${legendMark(-1, k)}${escapeMarkup(r)}</li>`),
    ];
    parts.push(
      `<figure><figcaption>${escapeMarkup(`${model}: ${quality.title} (${quality.better} is better) against selection time. Colour is the selector, shape the repair.`)}</figcaption><ul class="legend">${legend.join('')}</ul>${scrollRegion('Selection cost chart', chart)}</figure>`,
    );
  }
  return { id: 'cost', title: 'What selection costs and what it brings', body: parts.join('') };
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
      const name =
        g.kind === 'full'
          ? `${g.repair}, all data`
          : `${g.repair}, ${g.selector} ${formatPercent(g.proportion)}${g.boundaryRatio === null || g.boundaryRatio === 1 ? '' : ` ρ ${g.boundaryRatio}`}`;
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
      `<details><summary>The same as numbers</summary>${scrollRegion('Time table', `<table><caption><span>Seconds, training examples and counted TFLOP of the repair; “reused” marks selections that another cell of the study had already computed, with their first cost.</span></caption><thead><tr><th scope="col">combination</th><th scope="col">selection</th><th scope="col">repair</th><th scope="col">evaluation</th><th scope="col">examples</th><th scope="col">TFLOP</th></tr></thead><tbody>${table.join('')}</tbody></table>`)}</details>`,
    );
  }
  return { id: 'time', title: 'Where the time goes', body: parts.join('') };
}

/** Which blocks IRepair chose. */
export function blockSection(results: readonly CellResult[]): Section {
  const parts = unique(results.map((r) => r.model)).map((model) => {
    const groups = groupCells(results)
      .filter((g) => g.model === model)
      .map((g) => ({ g, counts: sumCounts(g.cells) }))
      .filter((r): r is { g: CellGroup; counts: number[] } => r.counts !== null);
    if (groups.length === 0) return '';
    const blocks = Math.max(...groups.map((r) => r.counts.length));
    const head = Array.from({ length: blocks }, (_, b) => `<th scope="col">${b}</th>`).join('');
    const rows = groups.map(({ g, counts }) => {
      const most = Math.max(...counts, 1);
      const name = `${g.repair}, ${g.kind === 'full' ? 'all data' : `${g.selector} ${formatPercent(g.proportion)}${g.boundaryRatio === null || g.boundaryRatio === 1 ? '' : ` ρ ${g.boundaryRatio}`}`}`;
      return `<tr><th scope="row">${escapeMarkup(name)}</th>${Array.from({ length: blocks }, (_, b) => `<td class="heat" style="--h:${((counts[b] ?? 0) / most).toFixed(3)}">${dataMarkup(counts[b] ?? 0, String(counts[b] ?? 0))}</td>`).join('')}</tr>`;
    });
    return scrollRegion(
      `Blocks chosen by IRepair, ${model}`,
      `<table><caption><span>${escapeMarkup(model)}: in how many steps IRepair repaired each transformer block (0 is the first), summed over seeds.</span></caption><thead><tr><th scope="col">block</th>${head}</tr></thead><tbody>${rows.join('')}</tbody></table>`,
    );
  });
  return { id: 'blocks', title: 'Which blocks IRepair chose', body: parts.join('') };
}

function sumCounts(cells: readonly CellResult[]): number[] | null {
  const counts = cells.map((c) => c.repairRun?.blockCounts ?? null).filter((c) => c !== null);
  if (counts.length === 0) return null;
  return Array.from({ length: Math.max(...counts.map((c) => c.length)) }, (_, b) => counts.reduce((sum, c) => sum + (c[b] ?? 0), 0));
}

/** Research questions 3 and 4: quality over the share of data (a chart for each repair), and over the boundary ratio. */
export function sweepSections(results: readonly CellResult[]): Section[] {
  const measures = measuresOf(results);
  const quality = measures.find((m) => m.id === 'ops') ?? measures.find((m) => m.id.startsWith('toxicity.'));
  if (!quality) return [];
  const groups = groupCells(results);
  const proportions: string[] = [];
  const boundaries: string[] = [];
  for (const [i, model] of unique(groups.map((g) => g.model)).entries()) {
    const subsets = groups.filter((g) => g.model === model && g.kind === 'subset');
    const full = groups.filter((g) => g.model === model && g.kind === 'full');
    const selectors = unique(subsets.map((g) => g.selector));
    for (const [r, repair] of unique(subsets.map((g) => g.repair)).entries()) {
      const series = selectors.map((selector, k) => {
        const own = subsets.filter(
          (g) => g.selector === selector && g.repair === repair && (g.boundaryRatio === null || g.boundaryRatio === 1),
        );
        return sweepSeries(selector, k, [...own, ...full.filter((g) => g.repair === repair)], quality, (g) => g.proportion, formatPercent);
      });
      proportions.push(sweepFigure(`share-${i}-${r}`, `${model}, ${repair}`, 'share of the data', quality, series, formatPercent));
    }
    const mixed = subsets.filter((g) => g.boundaryRatio !== null);
    const kinds = unique(mixed.map((g) => JSON.stringify([g.selector, g.repair, g.proportion])));
    const series = kinds.map((kind, k) => {
      const [selector, repair, proportion] = JSON.parse(kind) as [string, string, number];
      const own = mixed.filter((g) => g.selector === selector && g.repair === repair && g.proportion === proportion);
      return sweepSeries(`${selector}, ${repair}, ${formatPercent(proportion)}`, k, own, quality, (g) => g.boundaryRatio as number, String);
    });
    boundaries.push(sweepFigure(`boundary-${i}`, model, 'boundary ratio (0 = centre, 1 = boundary)', quality, series, String));
  }
  return [
    { id: 'proportions', title: 'How much data is enough', body: proportions.join('') },
    { id: 'boundary', title: 'Boundary or centre of the clusters', body: boundaries.join('') },
  ];
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
  const legend = lines.map((s) => `<li>${legendMark(s.colour, 0)}${escapeMarkup(s.label)}</li>`);
  return `<figure><figcaption>${escapeMarkup(`${title}: ${quality.title} (${quality.better} is better); bars are ± one standard deviation over seeds.`)}</figcaption><ul class="legend">${legend.join('')}</ul>${scrollRegion(title, chart)}</figure>`;
}

export function failureSection(results: readonly CellResult[]): Section {
  const failed = results.filter((c) => c.status === 'failed');
  const rows = failed.map(
    (c) =>
      `<tr><th scope="row">${escapeMarkup([c.model, c.repair, c.selector, formatPercent(c.proportion), c.seed ?? ''].join(', '))}</th><td class="text">${escapeMarkup(c.error ?? '')}</td></tr>`,
  );
  const table = `<table><caption><span>Cells that failed; running the study again tries them again.</span></caption><thead><tr><th scope="col">cell</th><th scope="col">error</th></tr></thead><tbody>${rows.join('')}</tbody></table>`;
  return { id: 'failed', title: 'Failed cells', body: failed.length === 0 ? '' : scrollRegion('Failed cells', table) };
}

/** What each number means and how it was obtained. */
export function methodSection(results: readonly CellResult[]): Section {
  const done = results.filter((c) => c.status === 'done');
  const measures = measuresOf(results);
  const items = measures.map((m) => {
    const conventions = unique(done.flatMap((c) => c.figures[m.id]?.convention ?? []));
    const how = conventions.map((c) => `<br><small style="white-space:normal">Convention: ${escapeMarkup(c)}</small>`).join('');
    return `<dt>${escapeMarkup(m.title)}${m.unit ? ` <small>${escapeMarkup(m.unit)}</small>` : ''}</dt><dd>${escapeMarkup(m.explanation)}${how}</dd>`;
  });
  const metric = done.find((c) => c.metrics)?.metrics;
  if (metric)
    items.push(
      `<dt>Metric version</dt><dd>${escapeMarkup(metric.version)}, weights ${escapeMarkup(metric.weights.join(', '))} for toxicity, running text and last-word text. The published formulas are not public; these are mendset’s own.</dd>`,
    );
  items.push(
    '<dt>Small numbers beside a value</dt><dd>With one seed: the 95 % bootstrap interval over prompts, where the figure has one. With several seeds: the standard deviation over seeds.</dd>',
  );
  return { id: 'method', title: 'What the numbers mean', body: `<dl>${items.join('')}</dl>` };
}

/** Versions, machine, seeds, hashes. */
export function provenanceSection(results: readonly CellResult[]): Section {
  const list = (values: readonly unknown[]) => escapeMarkup(unique(values.map(String)).join(', '));
  const facts: [string, string][] = [
    ['mendset', list(results.map((c) => c.machine.mendset))],
    ['Node', list(results.map((c) => `${c.machine.node} on ${c.machine.platform}`))],
    ['Processor', list(results.map((c) => c.machine.cpu))],
    [
      'Instruction set, backend',
      list(results.map((c) => `${c.machine.isa}, ${c.machine.backend} (${c.machine.device}), ${c.machine.threads} threads`)),
    ],
    ['Models', list(results.map((c) => `${c.model} (${c.modelHash.slice(0, 12)})`))],
    ['Data seeds', list(results.filter((c) => c.seed !== null).map((c) => c.seed))],
    ['Training seeds', list(results.filter((c) => c.trainingSeed !== null).map((c) => c.trainingSeed))],
    [
      'Pools',
      list(
        results
          .filter((c) => c.poolHash)
          .map((c) => `seed ${c.seed}: ${c.window === null ? '' : `${c.window} records, `}${c.poolHash?.slice(0, 12)}`),
      ),
    ],
    [
      'Toxicity scorer',
      list(results.filter((c) => c.scorer).map((c) => `${c.scorer?.name} ${c.scorer?.version} (${c.scorer?.weightsHash.slice(0, 12)})`)),
    ],
    ['Largest memory', `${(Math.max(0, ...results.map((c) => c.peakMemoryBytes)) / 2 ** 20).toFixed(0)} MiB`],
    [
      'Computed',
      list([
        results.map((c) => c.finishedAt).sort()[0] ?? '',
        results
          .map((c) => c.finishedAt)
          .sort()
          .at(-1) ?? '',
      ]),
    ],
  ];
  const rows = facts.filter(([, v]) => v !== '').map(([k, v]) => `<tr><th scope="row">${k}</th><td class="text">${v}</td></tr>`);
  const warnings = unique(results.flatMap((c) => [...(c.selection?.warnings ?? []), ...(c.repairRun?.warnings ?? [])]));
  const notes =
    warnings.length === 0
      ? ''
      : `<details><summary>Warnings of the runs (${warnings.length})</summary><ul>${warnings.map((w) => `<li>${escapeMarkup(w)}</li>`).join('')}</ul></details>`;
  return {
    id: 'provenance',
    title: 'Where the numbers come from',
    body: `${scrollRegion('Provenance', `<table><caption><span>Versions, machine, seeds and hashes recorded with the results.</span></caption><tbody>${rows.join('')}</tbody></table>`)}${notes}`,
  };
}

export function allCellsSection(results: readonly CellResult[]): Section {
  const measures = measuresOf(results);
  const head = measures.map((m) => `<th scope="col">${escapeMarkup(m.title)}</th>`).join('');
  const rows = results
    .filter((c) => c.status === 'done')
    .map(
      (c) =>
        `<tr><th scope="row">${escapeMarkup(c.model)}</th><td>${escapeMarkup(c.repair)}</td><td>${escapeMarkup(c.selector)}</td><td>${dataMarkup(c.proportion, formatPercent(c.proportion))}</td><td>${c.boundaryRatio ?? '–'}</td><td>${c.seed ?? '–'}</td>${measures.map((m) => `<td>${measureMarkup(m, m.read(c))}</td>`).join('')}</tr>`,
    );
  const table = `<table><caption><span>Every finished cell, one row each, as in results.jsonl and cells.csv.</span></caption><thead><tr><th scope="col">model</th><th scope="col">repair</th><th scope="col">selector</th><th scope="col">share</th><th scope="col">boundary</th><th scope="col">seed</th>${head}</tr></thead><tbody>${rows.join('')}</tbody></table>`;
  return {
    id: 'cells',
    title: 'All cells',
    body: rows.length === 0 ? '' : `<details><summary>Show ${rows.length} cells</summary>${scrollRegion('All cells', table)}</details>`,
  };
}

export function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
