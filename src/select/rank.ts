import { MendsetError } from '../core/errors.ts';

/** Indices by (value, lowest index), descending; the input is not changed. Values are not NaN. */
export function rankDescending(values: ArrayLike<number>, indices: Iterable<number>): Int32Array {
  return rank(values, indices, true);
}

/** Indices by (value, lowest index), ascending. */
export function rankAscending(values: ArrayLike<number>, indices: Iterable<number>): Int32Array {
  return rank(values, indices, false);
}

/** From so many on a radix sort is quicker than comparisons; a million take some 0.1 s. */
const RADIX_FROM = 2048;

function rank(values: ArrayLike<number>, indices: Iterable<number>, descending: boolean): Int32Array {
  const records = Int32Array.from(indices);
  if (records.length >= RADIX_FROM) return radixRank(values, records.sort(), descending);
  const sign = descending ? -1 : 1;
  return records.sort((a, b) => sign * ((values[a] as number) - (values[b] as number)) || a - b);
}

const DIGIT_BITS = 11;
const DIGITS = 1 << DIGIT_BITS;

/** Least significant digit first over the 64 bits of each value, made monotone. Stable, so that ascending records settle ties. */
function radixRank(values: ArrayLike<number>, records: Int32Array, descending: boolean): Int32Array {
  const n = records.length;
  const floats = Float64Array.from(records, (i) => (values[i] as number) + 0); // -0 becomes 0
  const words = new Uint32Array(floats.buffer);
  const [low, high] = [new Uint32Array(n), new Uint32Array(n)];
  for (let at = 0; at < n; at++) {
    let [first, second] = [words[2 * at] as number, words[2 * at + 1] as number];
    if (second & 0x80000000) [first, second] = [~first, ~second];
    else second ^= 0x80000000;
    low[at] = descending ? ~first : first;
    high[at] = descending ? ~second : second;
  }
  let order = Int32Array.from({ length: n }, (_, at) => at);
  let next = new Int32Array(n);
  const ends = new Int32Array(DIGITS + 1);
  for (const [word, shift] of [
    [low, 0],
    [low, DIGIT_BITS],
    [low, 2 * DIGIT_BITS],
    [high, 0],
    [high, DIGIT_BITS],
    [high, 2 * DIGIT_BITS],
  ] as const) {
    ends.fill(0);
    for (let at = 0; at < n; at++) {
      const digit = ((word[at] as number) >>> shift) & (DIGITS - 1);
      ends[digit + 1] = (ends[digit + 1] as number) + 1;
    }
    if (ends.includes(n)) continue; // one digit for all
    for (let digit = 0; digit < DIGITS; digit++) ends[digit + 1] = (ends[digit + 1] as number) + (ends[digit] as number);
    for (let at = 0; at < n; at++) {
      const place = order[at] as number;
      const digit = ((word[place] as number) >>> shift) & (DIGITS - 1);
      next[ends[digit] as number] = place;
      ends[digit] = (ends[digit] as number) + 1;
    }
    [order, next] = [next, order];
  }
  return order.map((place) => records[place] as number);
}

/** What to do with scores that are NaN or infinite: refuse all, or leave those records out and count them. */
export type NonFinite = 'error' | 'drop';

/** The records whose score is finite, ascending. Throws `non-finite` naming the first bad one unless they may be dropped. */
export function finiteIndices(scores: Float64Array, nonFinite: NonFinite, what: string): Int32Array {
  const finite = new Int32Array(scores.length);
  let count = 0;
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i] as number;
    if (Number.isFinite(score)) finite[count++] = i;
    else if (nonFinite === 'error') throw nonFiniteScore(what, i, score);
  }
  return count === scores.length ? finite : finite.slice(0, count);
}

export function nonFiniteScore(what: string, record: number, score: number): MendsetError {
  return new MendsetError(
    'non-finite',
    `Expected a finite ${what} for every record but record ${record} has ${score}: fix it, or pass nonFinite: 'drop' to leave such records out.`,
  );
}

/** Windows from which on the native engine ranks, draws and cuts: the results are equal, and loading it costs more than small windows. */
export const NATIVE_FROM: number = 1 << 16;
