import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunOptions } from '../core/run-options.ts';
import type { Pool } from '../data/record.ts';
import { computeFeatures } from '../features/compute-features.ts';
import type { LanguageModel } from '../model/language-model.ts';
import { pca } from '../select/pca.ts';
import { saps } from '../select/saps.ts';
import { makeSelector } from './make-selector.ts';
import type { PlannedCell } from './plan.ts';
import { MOST_POINTS, type PoolMap } from './pool-map.ts';
import { select } from './select-records.ts';

/**
 * The map of one window: two principal components of the embeddings that its selectors used, the clusters that SAPS finds in them,
 * and what each selector chose. null where no selector used embeddings.
 *
 * @param cells the subset cells of one model and data seed
 */
export async function drawPoolMap(
  directory: string,
  pool: Pool,
  cells: readonly PlannedCell[],
  model: LanguageModel,
  options: RunOptions,
): Promise<PoolMap | null> {
  const first = cells[0];
  const embeds = cells.some((c) => c.selectorConfig && makeSelector(c.selectorConfig, c.boundaryRatio).needs.includes('embeddings'));
  if (!first || first.seed === null || !embeds) return null;
  const cacheDirectory = join(directory, 'cache');
  const { embeddings } = await computeFeatures(pool, ['embeddings'], { model, cacheDirectory, ...options });
  if (!embeddings) return null;
  const { values } = embeddings;
  const plane = await pca(values, { components: 2, ...options });
  const own = cells.find((c) => c.selectorConfig?.method === 'saps')?.selectorConfig;
  const clustered = await select(pool, own ? makeSelector(own, 1) : saps(), {
    budget: { fraction: 1 },
    seed: first.seed,
    model,
    cacheDirectory,
    ...options,
  });
  const kept = Math.min(pool.records.length, MOST_POINTS);
  const clusters = Array.from(clustered.clusters ?? new Int32Array(kept)).slice(0, kept);
  const raw = Array.from(clustered.scores ?? new Float64Array(kept)).slice(0, kept);
  const farthest = new Map<number, number>();
  for (const [i, c] of clusters.entries()) farthest.set(c, Math.max(farthest.get(c) ?? 0, raw[i] as number));
  const chosen = new Map<string, PoolMap['chosen'][number]>();
  for (const cell of cells) {
    const text = await readFile(join(directory, 'selections', `${cell.selectionKey}.json`), 'utf8').catch(() => null);
    if (text === null || chosen.has(cell.selectionKey as string)) continue;
    const { indices } = JSON.parse(text) as { indices: number[] };
    const { selector, proportion, boundaryRatio } = cell;
    chosen.set(cell.selectionKey as string, { selector, proportion, boundaryRatio, indices: indices.filter((i) => i < kept) });
  }
  const round = (v: number) => Number(v.toPrecision(5));
  const { data, columns } = plane.projected;
  const share = (i: number) => round((plane.variances[i] ?? 0) / (plane.totalVariance || 1));
  return {
    schema: 1,
    model: first.model,
    seed: first.seed,
    records: pool.records.length,
    points: Array.from({ length: kept }, (_, i): readonly [number, number] => [
      round(data[i * columns] as number),
      round(columns > 1 ? (data[i * columns + 1] as number) : 0),
    ]),
    explained: [share(0), share(1)],
    clusters,
    distances: raw.map((d, i) => round(d / (farthest.get(clusters[i] as number) || 1))),
    chosen: [...chosen.values()],
  };
}
