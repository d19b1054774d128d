import { defineSelector } from './define-selector.ts';
import { drawWork } from './phase-work.ts';
import type { Selector } from './selector.ts';

/**
 * Systematic choice: every (n / budget)-th record in pool order, position i being floor(i n / budget). No randomness: a pool in random
 * order gives a simple random sample, a sorted one a sample stratified by the order.
 * @example await uniform().select({ n: 10, budget: 4, seed: 0, features: {} }) // indices 0 2 5 7
 */
export function uniform(): Selector {
  return defineSelector<never>({
    name: 'uniform',
    preset: 'principled',
    needs: [],
    parameters: {},
    workBytes: (_n, _d, budget) => 4 * budget,
    async choose({ n, budget }, _options, timed) {
      return { indices: await timed('choosing', () => everyNth(n, budget)), work: { choosing: drawWork(0, budget) } };
    },
  });
}

/** floor(i n / count) without the product, which may leave the safe integers. */
function everyNth(n: number, count: number): Int32Array {
  const indices = new Int32Array(count);
  const step = Math.floor(n / count);
  const remainder = n % count;
  let position = 0;
  let excess = 0; // of the exact position over the floored one, in units of 1 / count
  for (let i = 0; i < count; i++) {
    indices[i] = position;
    position += step;
    excess += remainder;
    if (excess >= count) {
      excess -= count;
      position++;
    }
  }
  return indices;
}
