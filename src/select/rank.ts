import { MendsetError } from '../core/errors.ts';

/** Indices by (value, lowest index), descending; the input is not changed. */
export function rankDescending(values: ArrayLike<number>, indices: Iterable<number>): number[] {
  return [...indices].sort((a, b) => (values[b] as number) - (values[a] as number) || a - b);
}

/** Indices by (value, lowest index), ascending. */
export function rankAscending(values: ArrayLike<number>, indices: Iterable<number>): number[] {
  return [...indices].sort((a, b) => (values[a] as number) - (values[b] as number) || a - b);
}

/** What to do with scores that are NaN or infinite: refuse all, or leave those records out and count them. */
export type NonFinite = 'error' | 'drop';

/** The records whose score is finite. Throws `non-finite` naming the first bad one unless they may be dropped. */
export function finiteIndices(scores: Float64Array, nonFinite: NonFinite, what: string): number[] {
  const finite: number[] = [];
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i] as number;
    if (Number.isFinite(score)) finite.push(i);
    else if (nonFinite === 'error') {
      throw new MendsetError(
        'non-finite',
        `Expected a finite ${what} for every record but record ${i} has ${score}: fix it, or pass nonFinite: 'drop' to leave such records out.`,
      );
    }
  }
  return finite;
}
