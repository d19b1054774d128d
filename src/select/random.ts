import { PythonRandom, RandomStream, STREAM_IDS } from '../core/random.ts';
import { defineSelector } from './define-selector.ts';
import type { Preset, Selector } from './selector.ts';

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
    async choose({ n, budget, seed }, _options, timed) {
      const source = preset === 'paper' ? new PythonRandom(seed) : new RandomStream(seed, STREAM_IDS.random);
      return { indices: await timed('choosing', () => source.permutation(n).slice(0, budget)) };
    },
  });
}
