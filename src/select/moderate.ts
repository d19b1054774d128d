import type { Matrix } from '../core/matrix.ts';
import { type RunOptions, throwIfAborted } from '../core/run-options.ts';
import { clusterBytes, clusterEmbeddings } from './cluster-embeddings.ts';
import { type Choice, defineSelector, requireInteger, requireOneOf } from './define-selector.ts';
import { engineReport } from './engine.ts';
import { rankAscending } from './rank.ts';
import type { Preset, SelectionInput, Selector } from './selector.ts';
import { strataOfGroups } from './strata-of-groups.ts';

/** What the classes are: clusters of the embeddings, or the caller's own groups. */
export type ModerateBy = 'cluster' | 'group';
export type ModerateFeature<B extends ModerateBy> = B extends 'group' ? 'embeddings' | 'groups' : 'embeddings';

export interface ModerateOptions<B extends ModerateBy = 'cluster'> {
  readonly preset?: Preset | undefined;
  /** default `cluster` */
  readonly by?: B | undefined;
  /** by cluster: default 10, at most n */
  readonly clusters?: number | undefined;
  /** by cluster: of the PCA space, where distances are measured too; default 50 */
  readonly components?: number | undefined;
  /** by cluster: k-means starts; default 4 */
  readonly restarts?: number | undefined;
}

/**
 * Moderate coreset (Xia et al., ICLR 2023): the records whose distance to the centre of their class is nearest to the median of all
 * distances (sections 3.1 and 3.2), by (|distance - median|, lowest index). Records have no class here, so that clusters stand for
 * classes unless groups are given. The median of an even number of distances is the mean of the middle two.
 *
 * `paper`: the published code, which takes coordinate-wise medians as centres and the ranks round(n (1 - r) / 2) to round(n (1 + r) / 2)
 * (to even) of the distances for a budget of r n: one record more or less than the budget may come out.
 */
export function moderate<B extends ModerateBy = 'cluster'>(options: ModerateOptions<B> = {}): Selector<ModerateFeature<B>> {
  const { preset = 'principled', clusters = 10, components = 50, restarts = 4 } = options;
  const by: ModerateBy = options.by ?? 'cluster';
  requireOneOf('by', by, ['cluster', 'group']);
  requireInteger('clusters', clusters, 1);
  requireInteger('components', components, 1);
  requireInteger('restarts', restarts, 1);
  const paper = preset === 'paper';
  return defineSelector<ModerateFeature<B>>({
    name: 'moderate',
    preset,
    needs: (by === 'group' ? ['embeddings', 'groups'] : ['embeddings']) as ModerateFeature<B>[],
    parameters: { by, ...(by === 'cluster' ? { clusters, components, restarts } : {}) },
    workBytes: (n, d) => 48 * n + (by === 'cluster' ? clusterBytes(n, d, { clusters, components }) : 0),
    async choose(input, run, timed): Promise<Choice> {
      const { n, budget, seed } = input;
      const { embeddings, groups } = (input as unknown as SelectionInput<'embeddings' | 'groups'>).features;
      const found = by === 'cluster' ? await clusterEmbeddings(embeddings, { clusters, components, restarts, seed }, run, timed) : null;
      const points = found ? found.points : embeddings;
      const { labels, members } = strataOfGroups(found ? found.grouped.labels : groups);
      const distances = await timed('scoring', () => {
        if (found && !paper) return found.grouped.ownDistance;
        return distancesToCentres(points, members, paper ? 'median' : 'mean', run);
      });
      const indices = await timed('choosing', () => {
        const ranked = rankAscending(distances, distances.keys());
        if (paper) {
          const share = budget / n;
          return ranked.slice(roundToEven(n * (0.5 - share / 2)), roundToEven(n * (0.5 + share / 2)));
        }
        const [low, high] = [ranked[(n - 1) >> 1] as number, ranked[n >> 1] as number];
        const median = ((distances[low] as number) + (distances[high] as number)) / 2;
        const fromMedian = distances.map((distance) => Math.abs(distance - median));
        return rankAscending(fromMedian, fromMedian.keys()).slice(0, budget);
      });
      const warnings = [...(found?.warnings ?? [])];
      if (indices.length !== budget)
        warnings.push(`The paper preset of moderate chose ${indices.length} of ${budget} records: both ends of its window are rounded.`);
      return {
        indices: Int32Array.from(indices),
        scores: distances,
        clusters: labels,
        ...(found ? { inertia: found.grouped.inertia, engine: engineReport(run), work: found.work } : {}),
        warnings,
      };
    },
  });
}

/** Euclidean distance of every row to the mean or the coordinate-wise median of its group, in fp64. */
async function distancesToCentres(
  x: Matrix,
  members: readonly Int32Array[],
  kind: 'mean' | 'median',
  run: RunOptions,
): Promise<Float64Array> {
  const { data, rows, columns: d } = x;
  const distances = new Float64Array(rows);
  for (const each of members) {
    await new Promise((resolve) => setImmediate(resolve));
    throwIfAborted(run.signal);
    const centre = kind === 'mean' ? meanOf(x, each) : medianOf(x, each);
    for (const i of each) {
      let square = 0;
      for (let p = 0; p < d; p++) square += ((data[i * d + p] as number) - (centre[p] as number)) ** 2;
      distances[i] = Math.sqrt(square);
    }
  }
  return distances;
}

function meanOf({ data, columns: d }: Matrix, members: Int32Array): Float64Array {
  const sum = new Float64Array(d);
  for (const i of members) for (let p = 0; p < d; p++) sum[p] = (sum[p] as number) + (data[i * d + p] as number);
  return sum.map((value) => value / members.length);
}

function medianOf({ data, columns: d }: Matrix, members: Int32Array): Float64Array {
  const column = new Float32Array(members.length);
  return Float64Array.from({ length: d }, (_, p) => {
    for (const [place, i] of members.entries()) column[place] = data[i * d + p] as number;
    column.sort();
    const [low, high] = [column[(members.length - 1) >> 1] as number, column[members.length >> 1] as number];
    return (low + high) / 2;
  });
}

/** As Python's `round`: halves to the even neighbour. */
function roundToEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
