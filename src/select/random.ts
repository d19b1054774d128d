import { PythonRandom, RandomStream, STREAM_IDS } from '../core/random.ts';
import { Turns } from '../core/turns.ts';
import { addon } from '../native/addon.ts';
import { callNative } from '../native/native-error.ts';
import { runTask } from '../native/run-task.ts';
import { defineSelector } from './define-selector.ts';
import { JAVASCRIPT, processorReport } from './engine.ts';
import { drawWork } from './phase-work.ts';
import { NATIVE_FROM } from './rank.ts';
import type { Preset, SelectOptions, Selector } from './selector.ts';
import { shuffleInTurns } from './shuffle-in-turns.ts';

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
    async choose({ n, budget, seed }, run, timed) {
      const native = preset === 'principled' && n >= NATIVE_FROM;
      const indices = await timed('choosing', async () => {
        if (native) return drawNatively(n, budget, seed, run);
        const source = preset === 'paper' ? new PythonRandom(seed) : new RandomStream(seed, STREAM_IDS.random);
        const all = new Int32Array(n);
        for (let i = 0; i < n; i++) all[i] = i;
        return (await shuffleInTurns(all, source, new Turns('random', run))).slice(0, budget);
      });
      return { indices, engine: native ? processorReport(run) : JAVASCRIPT, work: { choosing: drawWork(n, budget) } };
    },
  });
}

function drawNatively(n: number, count: number, seed: number | bigint, run: SelectOptions): Promise<Int32Array> {
  const task = callNative(() => addon().permutationTask(BigInt.asUintN(64, BigInt(seed)), STREAM_IDS.random, 0, n, count));
  return runTask(task, 'random', { ...run, result: () => task.result() });
}
