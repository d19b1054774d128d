import { MendsetError } from '../core/errors.ts';

/** How many records to choose. */
export type Budget = { readonly fraction: number } | { readonly count: number };

/**
 * Resolves a budget against a window of n records: floor(fraction * n + 1e-9) but at least 1, with fraction in (0, 1]; or a count in 0 .. n.
 * `clip` limits a count to n instead of refusing it.
 * @throws MendsetError `invalid-argument`
 * @example resolveBudget(4400, { fraction: 0.5 }) // 2200
 */
export function resolveBudget(n: number, budget: Budget, options: { readonly clip?: boolean | undefined } = {}): number {
  if (!Number.isSafeInteger(n) || n < 0) {
    throw new MendsetError('invalid-argument', `Expected a window of 0 or more records but received ${n}.`);
  }
  if ('fraction' in budget) {
    const { fraction } = budget;
    if (!(fraction > 0 && fraction <= 1)) {
      throw new MendsetError(
        'invalid-argument',
        `Expected a budget fraction above 0 and at most 1 but received ${fraction}: give a count to choose an exact number of records.`,
      );
    }
    if (n === 0) throw new MendsetError('invalid-argument', 'Expected at least one record to select from but the window is empty.');
    return Math.max(1, Math.floor(fraction * n + 1e-9));
  }
  const { count } = budget;
  if (!Number.isSafeInteger(count) || count < 0) {
    throw new MendsetError('invalid-argument', `Expected a budget count that is an integer from 0 to ${n} but received ${count}.`);
  }
  if (count <= n) return count;
  if (options.clip) return n;
  throw new MendsetError(
    'invalid-argument',
    `Expected a budget of at most ${n} records but received ${count}: lower it (the library's clip option takes all of them).`,
  );
}
