import { MendsetError } from '../core/errors.ts';
import { type CellResult, formatPercent } from '../study/cell-result.ts';
import type { Measure } from './measures.ts';

/** Mean and sample standard deviation over data seeds; sd is null for one seed. */
export interface Stat {
  readonly mean: number;
  readonly sd: number | null;
  readonly seeds: number;
}

/** Cells that differ in the seed alone. */
export interface CellGroup {
  readonly model: string;
  readonly kind: CellResult['kind'];
  readonly selector: string;
  readonly repair: string;
  readonly kl: boolean;
  readonly proportion: number;
  readonly boundaryRatio: number | null;
  /** Finished cells, by seed */
  readonly cells: readonly CellResult[];
}

/** Groups finished cells over seeds, in the order of their first appearance; every table is made of these, so scorers never mix. */
export function groupCells(results: readonly CellResult[]): CellGroup[] {
  requireComparable(results);
  const groups = new Map<string, CellResult[]>();
  for (const cell of results) {
    if (cell.status !== 'done') continue;
    const key = JSON.stringify([cell.model, cell.kind, cell.selector, cell.repair, cell.proportion, cell.boundaryRatio]);
    const list = groups.get(key);
    if (list) list.push(cell);
    else groups.set(key, [cell]);
  }
  return [...groups.values()].map((cells) => {
    const { model, kind, selector, repair, kl, proportion, boundaryRatio } = cells[0] as CellResult;
    return { model, kind, selector, repair, kl, proportion, boundaryRatio, cells };
  });
}

/** `irepair+kl, saps 50 %`: a combination within one model. */
export function groupTitle(g: CellGroup): string {
  if (g.kind === 'unrepaired') return 'unrepaired';
  if (g.kind === 'full') return `${g.repair}, all data`;
  return `${g.repair}, ${g.selector} ${formatPercent(g.proportion)}${g.boundaryRatio === null || g.boundaryRatio === 1 ? '' : ` ρ ${g.boundaryRatio}`}`;
}

/** null when no cell has the value. */
export function statOf(group: CellGroup | undefined, measure: Measure): Stat | null {
  const values = (group?.cells ?? []).map((c) => measure.read(c)).filter((v) => v !== null);
  return stat(values);
}

export function stat(values: readonly number[]): Stat | null {
  if (values.length === 0) return null;
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const sd = values.length < 2 ? null : Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (values.length - 1));
  return { mean, sd, seeds: values.length };
}

/** The bootstrap interval of a figure; only for one seed, where it is not mixed with the spread over seeds. */
export function intervalOf(group: CellGroup | undefined, measure: Measure): readonly [number, number] | null {
  if (group?.cells.length !== 1) return null;
  return group.cells[0]?.figures[measure.id]?.interval ?? null;
}

/** Scores of different scorers, and figures of different conventions, are never put side by side: rejects with `invalid-data`. */
export function requireComparable(results: readonly CellResult[]): void {
  const done = results.filter((c) => c.status === 'done');
  const scorers = new Map(done.filter((c) => c.scorer).map((c) => [c.scorer?.weightsHash, c.scorer]));
  if (scorers.size > 1) {
    const names = [...scorers.values()].map((s) => `${s?.name} ${s?.version} (${s?.weightsHash.slice(0, 8)})`);
    throw new MendsetError(
      'invalid-data',
      `Expected results of one toxicity scorer but found ${names.join(', ')}; their numbers cannot be compared, so report each study folder on its own.`,
    );
  }
}
