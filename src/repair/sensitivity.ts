import type { RunOptions } from '../core/run-options.ts';
import type { LanguageModel } from '../model/language-model.ts';
import { addon } from '../native/addon.ts';
import { callNative } from '../native/native-error.ts';
import { runTask } from '../native/run-task.ts';
import { chunks, packSide } from './batches.ts';
import type { PreparedPair } from './repair-data.ts';

/**
 * Gradient norm of each block on the rejected texts of `pairs`: gradients are averaged over batches, then the norm of each block is
 * taken (not a mean of norms). Needs host memory for two copies of the gradient.
 */
export async function blockSensitivities(
  model: LanguageModel,
  pairs: readonly PreparedPair[],
  batchSize: number,
  run: RunOptions,
): Promise<Float64Array> {
  const tensors = model.tensors;
  const gradients = tensors.map((t) => new Float32Array(t.count));
  const sums = tensors.map((t) => (t.block < 0 ? null : new Float32Array(t.count)));
  const batches = chunks(pairs, batchSize);
  for (const [done, batch] of batches.entries()) {
    const task = callNative(() =>
      addon().gradientTask(model.handle, packSide(batch, 'rejected', false, model.summary.context), new Float64Array(1), gradients),
    );
    await runTask(task, 'sensitivity', { signal: run.signal });
    sums.forEach((sum, t) => {
      const gradient = gradients[t] as Float32Array;
      if (sum) for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (gradient[i] as number);
    });
    run.onProgress?.({ phase: 'sensitivity', done: done + 1, total: batches.length });
  }
  const squares = new Float64Array(model.summary.layers);
  sums.forEach((sum, t) => {
    if (!sum) return;
    let square = 0;
    for (const value of sum) square += value * value;
    const { block } = tensors[t] as { block: number };
    squares[block] = (squares[block] as number) + square;
  });
  return squares.map((s) => Math.sqrt(s) / batches.length);
}

/** The `count` blocks with the largest norms, ascending; ties go to the lowest block. */
export function mostSensitiveBlocks(norms: ArrayLike<number>, count: number): number[] {
  return Array.from(norms, (_, block) => block)
    .sort((a, b) => (norms[b] as number) - (norms[a] as number) || a - b)
    .slice(0, count)
    .sort((a, b) => a - b);
}
