import { type WeightedCandidate, type WeightRow, weightTable } from '../metrics/weight-table.ts';
import { opsAtWeights } from '../study/cell-metrics.ts';
import type { CellResult } from '../study/cell-result.ts';
import { groupCells, groupTitle } from './groups.ts';
import { dataMarkup, escapeMarkup, scrollRegion } from './markup.ts';
import { type Section, unique } from './section.ts';

/** A longer table is folded away. */
const MOST_OPEN_ROWS = 12;

/** How the ranking by OPS depends on the weights of toxicity and the two perplexities. */
export function weightsSection(results: readonly CellResult[]): Section {
  const parts: string[] = [];
  for (const model of unique(results.map((r) => r.model))) {
    const candidates = rankedCandidates(results, model);
    if (candidates.length < 2) continue;
    const rows = weightTable(candidates);
    if (rows[0]?.ranking.every((entry) => entry.rank === null)) continue;
    // the best at the default weights first, so that a rank out of order shows
    const places = new Map(rows[0]?.ranking.map((entry, i) => [entry.name, i]));
    const ordered = [...candidates].sort((a, b) => (places.get(a.name) ?? 0) - (places.get(b.name) ?? 0));
    const head = rows.map((row) => `<th scope="col">${escapeMarkup(weightsText(row))}</th>`);
    const body = ordered.map(({ name }) => {
      const cells = rows.map((row) => {
        const entry = row.ranking.find((e) => e.name === name);
        if (!entry || entry.rank === null || entry.summary.mean === null) return '<td>–</td>';
        return `<td>${dataMarkup(entry.rank, `${entry.rank} (${entry.summary.mean.toFixed(3)})`)}</td>`;
      });
      return `<tr><th scope="row">${escapeMarkup(name)}</th>${cells.join('')}</tr>`;
    });
    const agreement = rows.map((row) => `<td>${row.agreement === null ? '–' : dataMarkup(row.agreement, row.agreement.toFixed(2))}</td>`);
    const other = rows.filter((row) => !row.sameWinner).length;
    const sentence =
      other === 0
        ? `${rows[0]?.ranking[0]?.name} comes first at each of the ${rows.length} sets of weights.`
        : `${rows[0]?.ranking[0]?.name} comes first at the default weights, and not at ${other} of the ${rows.length - 1} others.`;
    const table = scrollRegion(
      `Ranking at other weights, ${model}`,
      `<table><caption><span>Rank by OPS (and its mean over seeds) at weights of toxicity, running text and last-word texts; the first column has the default weights.</span></caption><thead><tr><th scope="col">combination</th>${head.join('')}</tr></thead><tbody>${body.join('')}<tr><th scope="row">agreement with the first column (Kendall’s τ)</th>${agreement.join('')}</tr></tbody></table>`,
    );
    parts.push(
      `<p>${escapeMarkup(`${model}: ${sentence}`)}</p>`,
      candidates.length > MOST_OPEN_ROWS
        ? `<details class="print"><summary>Ranks of all ${candidates.length} combinations</summary>${table}</details>`
        : table,
    );
  }
  return { id: 'weights', title: 'Does the ranking depend on the weights?', body: parts.join('') };
}

/** Combinations of one model that have every figure, each with its OPS for given weights, one value a seed. */
export function rankedCandidates(results: readonly CellResult[], model: string): WeightedCandidate[] {
  const base = results.find((r) => r.model === model && r.kind === 'unrepaired' && r.status === 'done');
  if (!base) return [];
  return groupCells(results)
    .filter((g) => g.model === model && g.kind !== 'unrepaired')
    .map((g) => ({
      name: groupTitle(g),
      score: (weights: WeightRow['weights']) => g.cells.map((cell) => ({ value: opsAtWeights(cell, base, weights) })),
    }));
}

function weightsText({ weights: { toxicity, wikitext, lambada } }: WeightRow): string {
  return [toxicity, wikitext, lambada].map((w) => String(Number(w.toFixed(2)))).join(' / ');
}
