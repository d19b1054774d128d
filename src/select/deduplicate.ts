import { defineSelector, requireNumber } from './define-selector.ts';
import { engineReport } from './engine.ts';
import { nearDuplicates } from './near-duplicates.ts';
import { drawWork, neighbourWork } from './phase-work.ts';
import type { Selector } from './selector.ts';
import { neighbourBytes } from './work-bytes.ts';

export interface DeduplicateOptions {
  /** records are near-duplicates from this cosine of their embeddings on, -1 .. 1; default 0.95 */
  readonly threshold?: number | undefined;
  /** default false: fewer records than the budget when fewer are distinct; true: filled up with duplicates in pool order */
  readonly fill?: boolean | undefined;
}

/**
 * Removal of near-duplicates: of every group (the connected components of cosine >= threshold) the record of lowest index is kept; the
 * kept records come in pool order, as many as the budget allows. After SemDeDup (Abbas et al. 2023, section 3), which looks for pairs
 * within k-means clusters only and keeps the record farthest from the centroid; here all pairs are looked at.
 * @throws MendsetError `invalid-argument` for an option out of its range, at once
 * @example
 * const { indices, clusters } = await selectIndices(deduplicate({ threshold: 0.9 }), { n, budget: { count: n }, features: { embeddings } });
 */
export function deduplicate(options: DeduplicateOptions = {}): Selector<'embeddings'> {
  const { threshold = 0.95, fill = false } = options;
  requireNumber('threshold', threshold, -1, 1);
  return defineSelector<'embeddings'>({
    name: 'deduplicate',
    preset: 'principled',
    needs: ['embeddings'],
    parameters: { threshold, fill },
    workBytes: (n, d) => 24 * n + neighbourBytes(n, d, 8),
    async choose({ n, budget, features: { embeddings } }, run, timed) {
      const { representatives, kept, closest } = await timed('neighbours', () => nearDuplicates(embeddings, { ...run, threshold }));
      const indices = await timed('choosing', () => inPoolOrder(representatives, kept, budget, fill));
      const warnings: string[] = [];
      if (kept.length < budget)
        warnings.push(
          `${kept.length} of ${n} records are distinct at cosine ${threshold}, fewer than the budget of ${budget}${fill ? ': duplicates fill it' : ''}.`,
        );
      return {
        indices,
        scores: closest,
        clusters: representatives,
        engine: engineReport(run),
        work: { neighbours: neighbourWork(n, embeddings.columns, Math.min(8, n - 1)), choosing: drawWork(n, budget) },
        warnings,
      };
    },
  });
}

/** The kept records, then, where duplicates fill the budget, those that are not. */
function inPoolOrder(representatives: Int32Array, kept: Int32Array, budget: number, fill: boolean): Int32Array {
  if (!fill || kept.length >= budget) return kept.slice(0, budget);
  const indices = new Int32Array(budget);
  indices.set(kept);
  let count = kept.length;
  for (let i = 0; count < budget; i++) if (representatives[i] !== i) indices[count++] = i;
  return indices;
}
