import { MendsetError } from '../core/errors.ts';

/**
 * Shares a budget evenly over bins of limited size: bins by ascending (size, index), each takes min(size, floor(rest / bins left)).
 * The sum is the budget whenever it fits. Zheng et al., Coverage-centric Coreset Selection, ICLR 2023.
 * @returns one quota per bin
 * @example waterFill(8, [5, 1, 0, 10]) // [3, 1, 0, 4]
 */
export function waterFill(budget: number, sizes: readonly number[]): number[] {
  checkSizes(budget, sizes);
  const quotas = new Array<number>(sizes.length).fill(0);
  const order = sizes.map((size, bin) => ({ size, bin })).sort((a, b) => a.size - b.size || a.bin - b.bin);
  let rest = budget;
  for (const [position, { size, bin }] of order.entries()) {
    const quota = Math.min(size, Math.floor(rest / (order.length - position)));
    quotas[bin] = quota;
    rest -= quota;
  }
  return quotas;
}

/**
 * Shares a budget in proportion to size: floor(budget * size / total), the remaining units to the largest fractions, ties to the
 * lowest index. Never more than a bin holds while the budget fits.
 * @example proportional(10, [5, 3, 3, 9]) // [3, 2, 1, 4]
 */
export function proportional(budget: number, sizes: readonly number[]): number[] {
  checkSizes(budget, sizes);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (total === 0) return sizes.map(() => 0);
  const taken = Math.min(budget, total);
  // taken * size stays below 2^53 for any window that fits in memory, so quotients and remainders are exact.
  const shares = sizes.map((size, bin) => ({ bin, quota: Math.floor((taken * size) / total), remainder: (taken * size) % total }));
  let rest = taken - shares.reduce((sum, share) => sum + share.quota, 0);
  const quotas = shares.map((share) => share.quota);
  for (const { bin } of shares.sort((a, b) => b.remainder - a.remainder || a.bin - b.bin)) {
    if (rest === 0) break;
    quotas[bin] = (quotas[bin] as number) + 1;
    rest--;
  }
  return quotas;
}

function checkSizes(budget: number, sizes: readonly number[]): void {
  if (Number.isSafeInteger(budget) && budget >= 0 && sizes.every((size) => Number.isSafeInteger(size) && size >= 0)) return;
  throw new MendsetError(
    'invalid-argument',
    `Expected a budget and bin sizes of 0 or more but received ${budget} over [${sizes.join(', ')}].`,
  );
}
