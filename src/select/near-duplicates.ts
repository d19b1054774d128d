import { type Matrix, matrix } from '../core/matrix.ts';
import { Turns } from '../core/turns.ts';
import { requireNumber } from './define-selector.ts';
import { nearestNeighbours } from './nearest-neighbours.ts';
import { requireRows } from './pca.ts';
import type { SelectOptions } from './selector.ts';

export interface NearDuplicatesOptions extends SelectOptions {
  /** rows are near-duplicates from this cosine on, -1 .. 1; default 0.95 */
  readonly threshold?: number | undefined;
}

export interface NearDuplicatesResult {
  /** [n] the lowest row of each row's group: its own number where the row is kept */
  readonly representatives: Int32Array;
  /** rows that are the lowest of their group, ascending */
  readonly kept: Int32Array;
  /** [n] cosine of the closest other row that is not zero; -1 when there is none or the row itself is zero */
  readonly closest: Float64Array;
}

/** Neighbours asked for first; multiplied by 4 for the rows whose list was full. */
const FIRST_NEIGHBOURS = 8;

/**
 * Groups of near-duplicates: the connected components of the graph that joins rows of cosine >= threshold, in single precision (1 - cosine
 * <= 1 - threshold). Exact: a row whose list of neighbours ends below the threshold is settled, and the pairs among the others are
 * looked at again with longer lists. Rows of zeros are near nothing.
 * @param x n x d, finite
 * @throws MendsetError `invalid-argument`, `non-finite` (with row and column), `aborted`
 * @example const { kept, representatives } = await nearDuplicates(matrix(data, 1000, 50), { threshold: 0.9 });
 */
export async function nearDuplicates(x: Matrix, options: NearDuplicatesOptions = {}): Promise<NearDuplicatesResult> {
  const { threshold = 0.95 } = options;
  requireRows(x);
  requireNumber('threshold', threshold, -1, 1);
  const { rows: n, columns: d } = x;
  const reach = Math.fround(1 - threshold);
  const groups = new DisjointSets(n);
  const closest = new Float64Array(n).fill(-1);
  const turns = new Turns('near-duplicates', options);
  let open = await rowsWithDirection(x, turns);
  for (let length = FIRST_NEIGHBOURS; open.length > 1; length *= 4) {
    const k = Math.min(length, open.length - 1);
    const part = open.length === n ? x : matrix(await gather(x, open, turns), open.length, d);
    const { indices, distances } = await nearestNeighbours(part, { ...options, k, metric: 'cosine' });
    const full: number[] = [];
    for (let at = 0; at < open.length; at++) {
      if (at % 4096 === 0 && turns.due()) await turns.take(at, open.length);
      const row = open[at] as number;
      if (length === FIRST_NEIGHBOURS) closest[row] = 1 - (distances[at * k] as number);
      let near = 0;
      while (near < k && (distances[at * k + near] as number) <= reach) {
        groups.join(row, open[indices[at * k + near] as number] as number);
        near++;
      }
      if (near === k && k < open.length - 1) full.push(row);
    }
    open = Int32Array.from(full);
  }
  const representatives = Int32Array.from({ length: n }, (_, i) => groups.lowest(i));
  return { representatives, kept: Int32Array.from(representatives.keys()).filter((i) => representatives[i] === i), closest };
}

/** The rows that are not all zeros. */
async function rowsWithDirection({ data, rows: n, columns: d }: Matrix, turns: Turns): Promise<Int32Array<ArrayBuffer>> {
  const found = new Int32Array(n);
  let count = 0;
  for (let i = 0; i < n; i++) {
    if (i % 1024 === 0 && turns.due()) await turns.take(i, n);
    let at = i * d;
    const end = at + d;
    while (at < end && data[at] === 0) at++;
    if (at < end) found[count++] = i;
  }
  return found.slice(0, count);
}

async function gather({ data, columns: d }: Matrix, rows: Int32Array, turns: Turns): Promise<Float32Array> {
  const out = new Float32Array(rows.length * d);
  for (let place = 0; place < rows.length; place++) {
    if (place % 1024 === 0 && turns.due()) await turns.take(place, rows.length);
    const row = rows[place] as number;
    out.set(data.subarray(row * d, (row + 1) * d), place * d);
  }
  return out;
}

/** Union-find whose root is the lowest member. */
class DisjointSets {
  readonly #parents: Int32Array;

  constructor(n: number) {
    this.#parents = Int32Array.from({ length: n }, (_, i) => i);
  }

  lowest(member: number): number {
    const parents = this.#parents;
    let root = member;
    while ((parents[root] as number) !== root) root = parents[root] as number;
    for (let at = member; at !== root; ) {
      const next = parents[at] as number;
      parents[at] = root;
      at = next;
    }
    return root;
  }

  join(a: number, b: number): void {
    const [x, y] = [this.lowest(a), this.lowest(b)];
    if (x < y) this.#parents[y] = x;
    else if (y < x) this.#parents[x] = y;
  }
}
