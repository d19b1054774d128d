import { PythonRandom, RandomStream, STREAM_IDS } from '../core/random.ts';
import type { TokenSequence } from '../model/sequences.ts';
import type { RepairPreset, ResolvedOptions, TrainingOrder } from './options.ts';

/** lr * min(1, (s + 1) / (warmup + 1)), s counted from 0: the first step already moves, by lr / (warmup + 1). */
export function learningRateAt(step: number, learningRate: number, warmupSteps: number): number {
  return learningRate * Math.min(1, (step + 1) / (warmupSteps + 1));
}

/** Places of the records of one epoch, in training order. `poolIndices` belongs to `order: 'pool'`. */
export function trainingOrder(n: number, order: TrainingOrder, seed: number, epoch: number, poolIndices?: readonly number[]): Int32Array {
  if (order === 'shuffled') return new RandomStream(seed, STREAM_IDS.trainingOrder, epoch).permutation(n);
  const places = Int32Array.from({ length: n }, (_, i) => i);
  if (order === 'pool' && poolIndices) places.sort((a, b) => (poolIndices[a] as number) - (poolIndices[b] as number) || a - b);
  return places;
}

/** Which normal texts a step reads. A function of the step alone, so that a resumed run draws the same ones. */
export interface NormalDraws {
  /** `step` counts over the run, `stepInEpoch` from the epoch's start; both from 0 */
  at(step: number, stepInEpoch: number): ArrayLike<number>;
}

/**
 * principled: consecutive batches of a permutation (stream 7, one for each pass), so that no text comes twice before every other
 * came once. paper: Python's `random.sample` of the seeded shuffle, started anew in every epoch.
 */
export function normalDraws(n: number, batchSize: number, seed: number, preset: RepairPreset): NormalDraws {
  const size = Math.min(n, batchSize);
  if (preset === 'paper') return paperDraws(n, size, seed);
  const perPass = Math.floor(n / size);
  let pass = -1;
  let order: Int32Array = new Int32Array(0);
  return {
    at(step) {
      const wanted = Math.floor(step / perPass);
      if (wanted !== pass) {
        pass = wanted;
        order = new RandomStream(seed, STREAM_IDS.normalData, pass).permutation(n);
      }
      const begin = (step % perPass) * size;
      return order.subarray(begin, begin + size);
    },
  };
}

function paperDraws(n: number, size: number, seed: number): NormalDraws {
  const random = new PythonRandom(seed);
  const order = random.permutation(n);
  const batches: Int32Array[] = [];
  return {
    at(_, stepInEpoch) {
      while (batches.length <= stepInEpoch) {
        batches.push(Int32Array.from(random.sample(n, size), (i) => order[i] as number));
      }
      return batches[stepInEpoch] as Int32Array;
    },
  };
}

/** Steps of a run that no patience ends. */
export function plannedSteps(options: Pick<ResolvedOptions, 'maxSteps' | 'epochs' | 'batchSize'>, records: number): number {
  return Math.min(options.maxSteps ?? Number.POSITIVE_INFINITY, options.epochs * Math.ceil(records / options.batchSize));
}

/** The normal texts that a run on `records` training records can read before its step or epoch limit ends it, each once. */
export function usedNormalTexts(normal: readonly TokenSequence[], records: number, options: ResolvedOptions): TokenSequence[] {
  const perEpoch = Math.ceil(records / options.batchSize);
  const steps = plannedSteps(options, records);
  const draws = normalDraws(normal.length, options.batchSize, options.seed, options.preset);
  const used = new Set<number>();
  for (let step = 0; step < steps && used.size < normal.length; step++) {
    const drawn = draws.at(step, step % perEpoch);
    for (let i = 0; i < drawn.length; i++) used.add(drawn[i] as number);
  }
  return [...used].sort((a, b) => a - b).map((i) => normal[i] as TokenSequence);
}
