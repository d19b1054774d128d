import type { Matrix } from '../core/matrix.ts';
import type { Timed } from './define-selector.ts';
import { type KMeansResult, kMeans } from './k-means.ts';
import { pca } from './pca.ts';
import { kMeansWork, pcaWork } from './phase-work.ts';
import type { PhaseWork, SelectOptions } from './selector.ts';
import { kMeansBytes, pcaBytes } from './work-bytes.ts';

export interface ClusterOptions {
  /** at most n */
  readonly clusters: number;
  /** of the PCA space */
  readonly components: number;
  /** k-means starts */
  readonly restarts: number;
  readonly seed: number | bigint;
}

export interface ClusteredEmbeddings {
  /** n x r, the PCA space */
  readonly points: Matrix;
  readonly grouped: KMeansResult;
  readonly work: Readonly<Record<'reduction' | 'clustering', PhaseWork>>;
  readonly warnings: readonly string[];
}

/** PCA, then exact k-means: how selectors find the strata that nobody named. Phases `reduction` and `clustering`. */
export async function clusterEmbeddings(
  embeddings: Matrix,
  { clusters, components, restarts, seed }: ClusterOptions,
  run: SelectOptions,
  timed: Timed,
): Promise<ClusteredEmbeddings> {
  const { rows: n, columns: d } = embeddings;
  const reduced = await timed('reduction', () => pca(embeddings, { ...run, components }));
  const points = reduced.projected;
  const k = Math.min(clusters, n);
  const grouped = await timed('clustering', () => kMeans(points, { ...run, k, restarts, seed, second: false }));
  const passes = grouped.iterations + 1;
  return {
    points,
    grouped,
    work: { reduction: pcaWork(n, d, points.columns), clustering: kMeansWork(n, points.columns, k, passes) },
    warnings: [
      ...fewerClusters(clusters, n),
      ...(reduced.totalVariance === 0 ? ['All embeddings are equal: there is one cluster in effect.'] : []),
    ],
  };
}

/** What to say where there are more clusters than records. */
export function fewerClusters(clusters: number, n: number): string[] {
  return clusters > n ? [`${clusters} clusters were asked for; the ${n} records are a cluster each.`] : [];
}

/** Bytes of {@link clusterEmbeddings} beside its input. */
export function clusterBytes(n: number, d: number, { clusters, components }: Pick<ClusterOptions, 'clusters' | 'components'>): number {
  return pcaBytes(n, d, components) + kMeansBytes(n, Math.min(components, d), Math.min(clusters, n));
}
