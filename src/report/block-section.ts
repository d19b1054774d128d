import type { CellResult } from '../study/cell-result.ts';
import { type CellGroup, groupCells, groupTitle } from './groups.ts';
import { dataMarkup, escapeMarkup, scrollRegion } from './markup.ts';
import { type Section, unique } from './section.ts';

/** How sensitive each block was to the rejected texts, and which blocks IRepair therefore repaired. */
export function blockSection(results: readonly CellResult[]): Section {
  const parts = unique(results.map((r) => r.model)).map((model) => {
    const groups = groupCells(results).filter((g) => g.model === model);
    const counts = groups.flatMap((g) =>
      rowOf(
        g,
        g.cells.map((c) => c.repairRun?.blockCounts ?? null),
        'sum',
      ),
    );
    const sensitivities = groups.flatMap((g) =>
      rowOf(
        g,
        g.cells.map((c) => c.repairRun?.sensitivities ?? null),
        'mean',
      ),
    );
    return [
      blockTable(
        `Block sensitivity, ${model}`,
        `${model}: mean over steps and seeds of each block’s sensitivity, the norm of the rejected texts’ gradient in that block (0 is the first block).`,
        sensitivities,
        (v) => v.toPrecision(3),
      ),
      blockTable(
        `Blocks chosen by IRepair, ${model}`,
        `${model}: in how many steps IRepair repaired each transformer block, summed over seeds.`,
        counts,
        String,
      ),
    ].join('');
  });
  return { id: 'blocks', title: 'Which blocks are sensitive, and which IRepair repaired', body: parts.join('') };
}

interface BlockRow {
  readonly title: string;
  readonly values: readonly number[];
}

function rowOf(g: CellGroup, cells: readonly (readonly number[] | null)[], how: 'sum' | 'mean'): BlockRow[] {
  const known = cells.filter((c) => c !== null);
  if (known.length === 0) return [];
  const blocks = Math.max(...known.map((c) => c.length));
  const sums = Array.from({ length: blocks }, (_, b) => known.reduce((sum, c) => sum + (c[b] ?? 0), 0));
  return [{ title: groupTitle(g), values: how === 'sum' ? sums : sums.map((s) => s / known.length) }];
}

function blockTable(label: string, caption: string, rows: readonly BlockRow[], format: (v: number) => string): string {
  if (rows.length === 0) return '';
  const blocks = Math.max(...rows.map((r) => r.values.length));
  const head = Array.from({ length: blocks }, (_, b) => `<th scope="col">${b}</th>`).join('');
  const lines = rows.map(({ title, values }) => {
    const most = Math.max(...values, Number.MIN_VALUE);
    const cells = values.map((v) => `<td class="heat" style="--h:${(v / most).toFixed(3)}">${dataMarkup(v, format(v))}</td>`);
    return `<tr><th scope="row">${escapeMarkup(title)}</th>${cells.join('')}</tr>`;
  });
  return scrollRegion(
    label,
    `<table><caption><span>${escapeMarkup(caption)}</span></caption><thead><tr><th scope="col">block</th>${head}</tr></thead><tbody>${lines.join('')}</tbody></table>`,
  );
}
