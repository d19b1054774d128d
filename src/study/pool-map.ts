import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Where the records of a window lie, for the report's map; written once for each model, for the first data seed. */
export interface PoolMap {
  readonly schema: 1;
  readonly model: string;
  readonly seed: number;
  /** N of the window; the first `points.length` records are kept */
  readonly records: number;
  /** [records kept][2] first two principal components of the embeddings */
  readonly points: readonly (readonly [number, number])[];
  /** Shares of the variance that the two components explain */
  readonly explained: readonly [number, number];
  /** [records kept] cluster of each record */
  readonly clusters: readonly number[];
  /** [records kept] distance to the own cluster's centre, over the largest in the cluster */
  readonly distances: readonly number[];
  /** What each selector chose, among the records kept */
  readonly chosen: readonly {
    readonly selector: string;
    readonly proportion: number;
    readonly boundaryRatio: number | null;
    readonly indices: readonly number[];
  }[];
}

/** Records of a map: more could not be told apart. */
export const MOST_POINTS = 3000;

export function poolMapPath(directory: string, model: string): string {
  return join(directory, 'maps', `${model.replaceAll(/[^\w.+-]/g, '_')}.json`);
}

/** null where the study chose by no embeddings, or has not finished. */
export async function readPoolMap(directory: string, model: string): Promise<PoolMap | null> {
  const text = await readFile(poolMapPath(directory, model), 'utf8').catch(() => null);
  return text === null ? null : (JSON.parse(text) as PoolMap);
}
