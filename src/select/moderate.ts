import type { Matrix } from '../core/matrix.ts';
import { Turns } from '../core/turns.ts';
import { clusterBytes, clusterEmbeddings } from './cluster-embeddings.ts';
import { type Choice, defineSelector, requireInteger, requireOneOf } from './define-selector.ts';
import { engineReport } from './engine.ts';
import { rankWork, rowsWork } from './phase-work.ts';
import { rankScores } from './rank-scores.ts';
import type { Preset, SelectionInput, SelectOptions, Selector } from './selector.ts';
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
 * @throws MendsetError `invalid-argument` for an option out of its range, at once
 * @example
 * const { indices } = await selectIndices(moderate({ by: 'group' }), { n, budget: { fraction: 0.5 }, features: { embeddings, groups } });
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
      const { labels, members } = await strataOfGroups(found ? found.grouped.labels : groups, new Turns('moderate', run));
      const distances = await timed('scoring', () => {
        if (found && !paper) return found.grouped.ownDistance;
        return distancesToCentres(points, members, paper ? 'median' : 'mean', run);
      });
      const indices = await timed('choosing', async () => {
        const nearest = async (values: Float64Array, count: number) => (await rankScores(values, { count, end: 'low' }, run)).indices;
        if (paper) {
          const share = budget / n;
          const ranked = await nearest(distances, n);
          return ranked.slice(roundToEven(n * (0.5 - share / 2)), roundToEven(n * (0.5 + share / 2)));
        }
        const ranked = await nearest(distances, (n >> 1) + 1);
        const [low, high] = [ranked[(n - 1) >> 1] as number, ranked[n >> 1] as number];
        const median = ((distances[low] as number) + (distances[high] as number)) / 2;
        return nearest(
          distances.map((distance) => Math.abs(distance - median)),
          budget,
        );
      });
      const warnings = [...(found?.warnings ?? [])];
      if (indices.length !== budget)
        warnings.push(`The paper preset of moderate chose ${indices.length} of ${budget} records: both ends of its window are rounded.`);
      return {
        indices,
        scores: distances,
        clusters: labels,
        ...(found ? { inertia: found.grouped.inertia } : {}),
        engine: engineReport(run),
        work: {
          ...found?.work,
          scoring: rowsWork(n, found && !paper ? 0 : points.columns, 4),
          choosing: rankWork(n, Math.max(budget, (n >> 1) + 1)),
        },
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
  run: SelectOptions,
): Promise<Float64Array> {
  const { data, rows, columns: d } = x;
  const distances = new Float64Array(rows);
  const turns = new Turns('distances', run);
  let done = 0;
  for (const each of members) {
    const centre = await (kind === 'mean' ? meanOf(x, each, turns) : medianOf(x, each, turns));
    for (const i of each) {
      if (done++ % TURN_ROWS === 0 && turns.due()) await turns.take(done, rows);
      let square = 0;
      for (let p = 0; p < d; p++) square += ((data[i * d + p] as number) - (centre[p] as number)) ** 2;
      distances[i] = Math.sqrt(square);
    }
  }
  return distances;
}

/** Rows between two looks at the clock. */
const TURN_ROWS = 256;

async function meanOf({ data, columns: d, rows }: Matrix, members: Int32Array, turns: Turns): Promise<Float64Array> {
  const sum = new Float64Array(d);
  for (const [place, i] of members.entries()) {
    if (place % TURN_ROWS === 0 && turns.due()) await turns.take(0, rows);
    for (let p = 0; p < d; p++) sum[p] = (sum[p] as number) + (data[i * d + p] as number);
  }
  return sum.map((value) => value / members.length);
}

async function medianOf({ data, columns: d, rows }: Matrix, members: Int32Array, turns: Turns): Promise<Float64Array> {
  const column = new Float32Array(members.length);
  const medians = new Float64Array(d);
  for (let p = 0; p < d; p++) {
    if (turns.due()) await turns.take(0, rows);
    for (let place = 0; place < members.length; place++) column[place] = data[(members[place] as number) * d + p] as number;
    column.sort();
    const [low, high] = [column[(members.length - 1) >> 1] as number, column[members.length >> 1] as number];
    medians[p] = (low + high) / 2;
  }
  return medians;
}

/** As Python's `round`: halves to the even neighbour. */
function roundToEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
