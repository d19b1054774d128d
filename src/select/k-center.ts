import { MendsetError } from '../core/errors.ts';
import { NumpyRandom, RandomStream, STREAM_IDS } from '../core/random.ts';
import { defineSelector, requireInteger, requireOneOf } from './define-selector.ts';
import { engineReport } from './engine.ts';
import { kCenterGreedy } from './k-center-greedy.ts';
import { METRICS, type Metric } from './nearest-neighbours.ts';
import { pca } from './pca.ts';
import { kCenterWork, pcaWork } from './phase-work.ts';
import type { Preset, Selector } from './selector.ts';
import { spaceBytes } from './space.ts';
import { kCenterBytes } from './work-bytes.ts';

export interface KCenterOptions {
  readonly preset?: Preset | undefined;
  /** the first centre, which counts toward the budget; default `random` (`paper`: numpy's generator seeded with 42) */
  readonly first?: 'random' | 'farthest-from-mean' | number | undefined;
  /** default `euclidean` */
  readonly metric?: Metric | undefined;
  /** where distances are measured; default `pca` */
  readonly space?: 'pca' | 'raw' | undefined;
  /** of the PCA space; default 50 */
  readonly components?: number | undefined;
}

/** The seed that the published code uses for reduction, clustering and K-Center whatever the data seed is. */
export const PAPER_REDUCTION_SEED = 42;

/**
 * K-Center greedy: every next record is the one farthest from those chosen (Sener and Savarese 2018).
 *
 * `paper`: chooses floor(n / 2) records whatever the budget and does not exclude chosen ones, so index 0 repeats once all distances are 0.
 * @throws MendsetError `invalid-argument` for an option out of its range, at once
 * @example
 * const { indices, radii, coverage } = await selectIndices(kCenter({ first: 'farthest-from-mean' }), { n, budget: { count: 100 }, features: { embeddings } });
 */
export function kCenter(options: KCenterOptions = {}): Selector<'embeddings'> {
  const { preset = 'principled', first = 'random', metric = 'euclidean', space = 'pca', components = 50 } = options;
  if (typeof first === 'number') requireInteger('first', first, 0);
  else requireOneOf('first', first, ['random', 'farthest-from-mean']);
  requireOneOf('metric', metric, METRICS);
  requireOneOf('space', space, ['pca', 'raw']);
  requireInteger('components', components, 1);
  return defineSelector<'embeddings'>({
    name: 'k-center',
    preset,
    needs: ['embeddings'],
    parameters: { first, ...(metric === 'euclidean' ? {} : { metric }), space, components },
    workBytes: (n, d, budget) =>
      spaceBytes(n, d, { space, components }) + kCenterBytes(n, space === 'pca' ? Math.min(components, d) : d, budget),
    async choose({ n, budget, seed, features: { embeddings } }, runOptions, timed) {
      if (typeof first === 'number' && first >= n) {
        throw new MendsetError('invalid-argument', `Expected a first centre between 0 and ${n - 1} but received ${first}.`);
      }
      const warnings: string[] = [];
      const paper = preset === 'paper';
      const k = paper ? Math.floor(n / 2) : budget;
      if (paper && k !== budget)
        warnings.push(`The paper preset of k-center chooses floor(n / 2) = ${k} records whatever the budget (${budget}).`);
      let points = embeddings;
      if (space === 'pca') {
        const reduced = await timed('reduction', () => pca(embeddings, { ...runOptions, components }));
        if (reduced.totalVariance === 0) warnings.push('All embeddings are equal: every distance is 0 and the order is by index.');
        points = reduced.projected;
      }
      let start: number | 'farthest-from-mean' = first === 'random' ? 0 : first;
      if (first === 'random') {
        start = paper ? new NumpyRandom(PAPER_REDUCTION_SEED).below(n) : new RandomStream(seed, STREAM_IDS.kCenter).below(n);
      }
      const { order, radii, coverage } = await timed('choosing', () =>
        kCenterGreedy(points, { ...runOptions, k, first: start, metric, excludeTaken: !paper }),
      );
      if (paper && new Set(order).size < order.length) warnings.push('The selection repeats records: every distance reached 0.');
      const work = {
        ...(space === 'pca' ? { reduction: pcaWork(n, embeddings.columns, points.columns) } : {}),
        choosing: kCenterWork(n, points.columns, k),
      };
      return { indices: order, radii, coverage, engine: engineReport(runOptions), work, warnings };
    },
  });
}
