import { PythonRandom, RandomStream, STREAM_IDS } from '../core/random.ts';
import { addon } from '../native/addon.ts';
import { callNative } from '../native/native-error.ts';
import { runTask } from '../native/run-task.ts';
import { defineSelector } from './define-selector.ts';
import { NATIVE_FROM } from './rank.ts';
import type { Preset, SelectOptions, Selector } from './selector.ts';

/**
 * Uniform choice: the first records of a Fisher-Yates permutation.
 *
 * `paper`: the first records of the Python shuffle with the same seed (the published code of this selector is not available).
 * @example await random().select({ n: 10, budget: 3, seed: 43, features: {} }) // indices 0 9 3
 */
export function random(options: { readonly preset?: Preset | undefined } = {}): Selector {
  const preset = options.preset ?? 'principled';
  return defineSelector<never>({
    name: 'random',
    preset,
    needs: [],
    parameters: {},
    workBytes: (n, _d, budget) => 4 * (n + budget),
    async choose({ n, budget, seed }, options, timed) {
      return { indices: await timed('choosing', () => permutationPrefix(n, budget, seed, options)) };
    },
  });

  function permutationPrefix(n: number, count: number, seed: number | bigint, options: SelectOptions): Int32Array | Promise<Int32Array> {
    if (preset === 'paper') return new PythonRandom(seed).permutation(n).slice(0, count);
    if (n < NATIVE_FROM) return new RandomStream(seed, STREAM_IDS.random).permutation(n).slice(0, count);
    const task = callNative(() => addon().permutationTask(BigInt.asUintN(64, BigInt(seed)), STREAM_IDS.random, 0, n, count));
    return runTask(task, 'random', { ...options, result: () => task.result() });
  }
}
