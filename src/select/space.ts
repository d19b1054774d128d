import type { Matrix } from '../core/matrix.ts';
import type { Timed } from './define-selector.ts';
import { pca } from './pca.ts';
import { pcaWork } from './phase-work.ts';
import type { PhaseWork, SelectOptions } from './selector.ts';
import { pcaBytes } from './work-bytes.ts';

/** Where a selector measures: the embeddings as given, or their first principal components. */
export type Space = 'raw' | 'pca';
export const SPACES: readonly Space[] = ['raw', 'pca'];

export interface SpaceOptions {
  readonly space: Space;
  /** of the PCA space */
  readonly components: number;
}

export interface SpacePoints {
  /** the given matrix itself, or the projected rows */
  readonly points: Matrix;
  readonly work: Readonly<Record<string, PhaseWork>>;
  readonly warnings: readonly string[];
}

/** The points of a space; phase `reduction` where there is one. */
export async function spaceOf(embeddings: Matrix, options: SpaceOptions, run: SelectOptions, timed: Timed): Promise<SpacePoints> {
  if (options.space === 'raw') return { points: embeddings, work: {}, warnings: [] };
  const { projected, totalVariance } = await timed('reduction', () => pca(embeddings, { ...run, components: options.components }));
  return {
    points: projected,
    work: { reduction: pcaWork(embeddings.rows, embeddings.columns, projected.columns) },
    warnings: totalVariance === 0 ? ['All embeddings are equal: every distance is 0 and the order is by index.'] : [],
  };
}

/** Bytes of {@link spaceOf} beside its input. */
export function spaceBytes(n: number, d: number, { space, components }: SpaceOptions): number {
  return space === 'raw' ? 0 : pcaBytes(n, d, components);
}
