import { type CellResult, formatPercent } from '../study/cell-result.ts';
import { answerMarkup } from './answers.ts';
import { type CellGroup, groupCells, intervalOf, statOf } from './groups.ts';
import { escapeMarkup, scrollRegion, statMarkup } from './markup.ts';
import { isCost, type Measure, mainMeasuresOf, measureTitle } from './measures.ts';
import { type Section, unique } from './section.ts';
import { bestBy } from './summary.ts';

/** For each model and proportion one table of selectors by repairs for every measure. */
export function matrixSections(results: readonly CellResult[]): Section[] {
  const groups = groupCells(results);
  const measures = mainMeasuresOf(results).filter((m) => !isCost(m));
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
    const settingTables: { part: string; tables: string }[] = [];
    for (const setting of settings.length > 0 ? settings : [JSON.stringify([null, null])]) {
      const [proportion, ratio] = JSON.parse(setting) as [number | null, number | null];
      const subsets = own.filter(
        (g) => g.kind === 'subset' && g.proportion === proportion && (g.boundaryRatio === 1 ? null : g.boundaryRatio) === ratio,
      );
      const full = own.filter((g) => g.kind === 'full');
      const part = proportion === null ? '' : `, subset ${formatPercent(proportion)}${ratio === null ? '' : `, boundary ratio ${ratio}`}`;
      const measured = measures.filter((measure) => [...subsets, ...full].some((g) => statOf(g, measure)));
      const table = (measure: Measure) => matrixTable(measure, `${measureTitle(measure)}${part}`, subsets, full);
      const leading = measured.filter((m) => m.id === 'ops' || m.id === 'toxicity.repair');
      const first = leading.length > 0 ? leading : measured.slice(0, 1);
      const others = measured.filter((m) => !first.includes(m));
      const tables = [...first.map(table)];
      if (others.length > 0)
        tables.push(
          `<details class="print"><summary>${escapeMarkup(others.map((m) => m.title).join(', '))}${escapeMarkup(part)}</summary>${others.map(table).join('')}</details>`,
        );
      settingTables.push({ part: part.replace(/^, /, ''), tables: tables.join('') });
    }
    // a sweep is read from its curves; its tables are there to look things up
    if (settingTables.length > 2)
      body.push(
        `<details class="print"><summary>Tables of each of the ${settingTables.length} settings</summary>${settingTables.map(({ part, tables }) => `<details class="print"><summary>${escapeMarkup(part)}</summary>${tables}</details>`).join('')}</details>`,
      );
    else body.push(...settingTables.map(({ tables }) => tables));
    return {
      id: `results-${i + 1}`,
      title: `Which selector with which repair: ${model}`,
      body: `${answerMarkup(results, 1, model)}${body.join('')}`,
    };
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
      : ` ${measure.better === 'lower' ? 'Lower' : 'Higher'} is better; stronger colour is better, the best subset is framed.`;
  const head = repairs.map((r) => `<th scope="col">${escapeMarkup(r)}</th>`).join('');
  const lines = rows.map((row) => `<tr><th scope="row">${escapeMarkup(row.name)}</th>${repairs.map((r) => cell(row.at(r))).join('')}</tr>`);
  return scrollRegion(
    title,
    `<table data-measure="${escapeMarkup(measure.id)}"><caption><span>${escapeMarkup(title)}.${better}</span></caption><thead><tr><th scope="col">selector</th>${head}</tr></thead><tbody>${lines.join('')}</tbody></table>`,
  );
}
