import { defineSelector, requireInteger, requireOneOf } from './define-selector.ts';
import { engineReport } from './engine.ts';
import { facilityLocationGreedy } from './facility-location-greedy.ts';
import { METRICS, type Metric } from './nearest-neighbours.ts';
import type { Selector } from './selector.ts';
import { SPACES, type Space, spaceBytes, spaceOf } from './space.ts';
import { facilityLocationBytes } from './work-bytes.ts';

export interface FacilityLocationOptions {
  /** similarity: `cosine` (default), max(0, cosine); `euclidean`, a constant minus the squared distance */
  readonly metric?: Metric | undefined;
  /** where similarities are measured; default `raw` */
  readonly space?: Space | undefined;
  /** of the PCA space; default 50 */
  readonly components?: number | undefined;
}

/**
 * Facility location: every next record is the one that raises most the sum over all records of the similarity to the most similar
 * chosen one. Exact lazy greedy (Minoux 1978), within 1 - 1/e of the best choice (Nemhauser, Wolsey and Fisher 1978). The objective is
 * `FacilityLocationSelection` of apricot (Schreiber et al., JMLR 2020) and `facility location` of DeepCore's submodular selection; ties go
 * to the lowest index, where apricot leaves them to its heap.
 * @throws MendsetError `invalid-argument` for an option out of its range, at once
 * @example
 * const { indices, gains } = await selectIndices(facilityLocation({ space: 'pca' }), { n, budget: { count: 100 }, features: { embeddings } });
 */
export function facilityLocation(options: FacilityLocationOptions = {}): Selector<'embeddings'> {
  const { metric = 'cosine', space = 'raw', components = 50 } = options;
  requireOneOf('metric', metric, METRICS);
  requireOneOf('space', space, SPACES);
  requireInteger('components', components, 1);
  return defineSelector<'embeddings'>({
    name: 'facility-location',
    preset: 'principled',
    needs: ['embeddings'],
    parameters: { metric, space, ...(space === 'pca' ? { components } : {}) },
    workBytes: (n, d, budget) => spaceBytes(n, d, { space, components }) + facilityLocationBytes(n, d, budget),
    async choose({ n, budget, features: { embeddings } }, run, timed) {
      const { points, work, warnings } = await spaceOf(embeddings, { space, components }, run, timed);
      const { order, gains, value, evaluations } = await timed('choosing', () =>
        facilityLocationGreedy(points, { ...run, budget, metric }),
      );
      const choosing = { flops: 2 * evaluations * n * points.columns, bytes: 4 * n * points.columns };
      return { indices: order, gains, value, engine: engineReport(run), work: { ...work, choosing }, warnings };
    },
  });
}
