import type { Matrix } from '../core/matrix.ts';
import { PythonRandom, RandomStream, STREAM_IDS } from '../core/random.ts';
import { Turns } from '../core/turns.ts';
import { mixOfCluster, paperMixOfCluster } from './cluster-choice.ts';
import { clusterBytes, fewerClusters } from './cluster-embeddings.ts';
import { defineSelector, requireInteger, requireNumber, requireOneOf } from './define-selector.ts';
import { engineReport } from './engine.ts';
import { PAPER_REDUCTION_SEED } from './k-center.ts';
import { type KMeansResult, kMeans } from './k-means.ts';
import type { MiniBatchKMeansResult } from './mini-batch-k-means.ts';
import { distancesToMean, meanNeighbourDistances } from './neighbours.ts';
import { paperMiniBatchKMeans } from './paper-mini-batch.ts';
import { pca } from './pca.ts';
import { kMeansWork, miniBatchWork, neighbourWork, pcaWork, rankWork, rowsWork } from './phase-work.ts';
import { rankGroups } from './rank-groups.ts';
import type { Preset, SelectOptions, Selector } from './selector.ts';
import { shuffleInTurns } from './shuffle-in-turns.ts';
import { proportional, waterFill } from './water-fill.ts';
import { neighbourBytes } from './work-bytes.ts';

/**
 * How a cluster's quota is filled. `top`: the farthest from the centroid; `mix`: farthest and nearest by `boundaryRatio`. Ablations:
 * `global` adds the distance to the global mean, `density` divides by the mean distance to the 5 nearest, `random` ignores distance (SAPS_random), `stratified` does so
 * with quotas in proportion to the clusters' sizes.
 */
export type SapsMode = 'top' | 'mix' | 'global' | 'density' | 'random' | 'stratified';

/** How the budget is shared over clusters. Only `equal-no-redistribute` may choose fewer records than the budget. */
export type SapsAllocation = 'waterfill' | 'proportional' | 'equal-no-redistribute';

export interface SapsOptions {
  readonly preset?: Preset | undefined;
  /** default 10, at most n */
  readonly clusters?: number | undefined;
  /** default `top`, or `mix` when a boundary ratio is given */
  readonly mode?: SapsMode | undefined;
  /** 0 (centre only) .. 1 (boundary only, default) */
  readonly boundaryRatio?: number | undefined;
  /** default `waterfill`; `paper`: `equal-no-redistribute`; mode `stratified`: `proportional` */
  readonly allocation?: SapsAllocation | undefined;
  /** of the PCA space; default 50 */
  readonly components?: number | undefined;
  /** k-means starts; default 4 */
  readonly restarts?: number | undefined;
}

/**
 * SAPS (arXiv 2510.20428): cluster the embeddings in PCA space and take the records nearest to the cluster boundaries.
 * Order: clusters by descending size, within one by descending distance.
 *
 * `paper`: mini-batch k-means seeded with 42, equal quotas that are never redistributed, `mix` that may repeat records of small clusters.
 * @throws MendsetError `invalid-argument` for an option out of its range, at once
 * @example
 * const { indices, clusters, quotas } = await selectIndices(saps({ boundaryRatio: 0.5 }), { n, budget: { fraction: 0.5 }, features: { embeddings } });
 */
export function saps(options: SapsOptions = {}): Selector<'embeddings'> {
  const preset = options.preset ?? 'principled';
  const paper = preset === 'paper';
  const { clusters = 10, boundaryRatio = 1, components = 50, restarts = 4 } = options;
  const mode: SapsMode = options.mode ?? (options.boundaryRatio === undefined ? 'top' : 'mix');
  const allocation: SapsAllocation =
    options.allocation ?? (mode === 'stratified' ? 'proportional' : paper ? 'equal-no-redistribute' : 'waterfill');
  requireInteger('clusters', clusters, 1);
  requireInteger('components', components, 1);
  requireInteger('restarts', restarts, 1);
  requireNumber('boundaryRatio', boundaryRatio, 0, 1);
  requireOneOf('mode', mode, ['top', 'mix', 'global', 'density', 'random', 'stratified']);
  requireOneOf('allocation', allocation, ['waterfill', 'proportional', 'equal-no-redistribute']);

  return defineSelector<'embeddings'>({
    name: 'saps',
    preset,
    needs: ['embeddings'],
    parameters: { clusters, mode, boundaryRatio, allocation, components, ...(paper ? {} : { restarts }) },
    workBytes: (n, d) =>
      32 * n + clusterBytes(n, d, { clusters, components }) + (mode === 'density' ? neighbourBytes(n, Math.min(components, d), 4) : 0),
    async choose({ n, budget, seed, features: { embeddings } }, runOptions, timed) {
      const warnings = fewerClusters(clusters, n);
      const reduced = await timed('reduction', () => pca(embeddings, { ...runOptions, components }));
      if (reduced.totalVariance === 0) warnings.push('All embeddings are equal: every distance is 0 and the order is by index.');
      const points = reduced.projected;
      const k = Math.min(clusters, n);
      const grouped = await timed<KMeansResult | MiniBatchKMeansResult>('clustering', () =>
        paper
          ? paperMiniBatchKMeans(points, k, PAPER_REDUCTION_SEED, runOptions)
          : kMeans(points, { ...runOptions, k, restarts, seed, second: false }),
      );
      const values = await timed('scoring', () => rankingValues(mode, points, grouped.ownDistance, runOptions));
      const { chosen, quotas } = await timed('choosing', async () => {
        const groups = await rankGroups(values, grouped.labels, k, runOptions);
        const quotas = shareBudget(
          allocation,
          budget,
          groups.map((group) => group.length),
          paper,
        );
        const source = paper ? new PythonRandom(seed) : new RandomStream(seed, STREAM_IDS.random);
        const turns = new Turns('saps', runOptions);
        const parts: Int32Array[] = [];
        for (const [j, group] of groups.entries()) {
          const quota = quotas[j] as number;
          if (mode === 'random' || mode === 'stratified')
            parts.push((await shuffleInTurns(group.slice().sort(), source, turns)).subarray(0, quota));
          else if (mode === 'mix') parts.push((paper ? paperMixOfCluster : mixOfCluster)(values, group, quota, boundaryRatio));
          else parts.push(group.subarray(0, quota));
        }
        return { chosen: joined(parts), quotas };
      });
      if (chosen.length !== budget)
        warnings.push(`${chosen.length} of ${budget} records were chosen: quotas are fixed for each cluster and not redistributed.`);
      if (paper && new Set(chosen).size < chosen.length)
        warnings.push('The selection repeats records of clusters smaller than their quota.');
      return {
        indices: chosen,
        scores: values,
        clusters: grouped.labels,
        quotas: Int32Array.from(quotas),
        inertia: grouped.inertia,
        engine: engineReport(runOptions),
        work: {
          reduction: pcaWork(n, embeddings.columns, points.columns),
          clustering:
            'iterations' in grouped
              ? kMeansWork(n, points.columns, k, grouped.iterations + 1)
              : miniBatchWork(n, points.columns, k, grouped.steps, grouped.batchSize),
          scoring:
            mode === 'density'
              ? neighbourWork(n, points.columns, Math.min(4, n - 1))
              : rowsWork(n, mode === 'global' ? points.columns : 0, 4),
          choosing: rankWork(n, n),
        },
        warnings,
      };
    },
  });
}

function joined(parts: readonly ArrayLike<number>[]): Int32Array {
  const all = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Quotas per cluster. The published proportional form gives every cluster at least one and loses the fractions. */
function shareBudget(allocation: SapsAllocation, budget: number, sizes: readonly number[], paper: boolean): number[] {
  if (allocation === 'waterfill') return waterFill(budget, sizes);
  if (allocation === 'proportional') {
    const total = sizes.reduce((sum, size) => sum + size, 0);
    return paper ? sizes.map((size) => Math.max(1, Math.floor((budget * size) / total))) : proportional(budget, sizes);
  }
  return sizes.map(() => Math.floor(budget / sizes.length));
}

async function rankingValues(mode: SapsMode, points: Matrix, ownDistance: Float64Array, options: SelectOptions): Promise<Float64Array> {
  if (mode === 'global') {
    const toMean = await distancesToMean(points, options);
    return ownDistance.map((distance, i) => distance + (toMean[i] as number));
  }
  if (mode === 'density') {
    const spread = await meanNeighbourDistances(points, 5, options);
    return ownDistance.map((distance, i) => distance / ((spread[i] as number) + 1e-6));
  }
  return ownDistance;
}
