import { type RunOptions, throwIfAborted } from '../core/run-options.ts';
import type { NativeTask } from './binding.ts';
import { nativeError } from './native-error.ts';

/**
 * How long one native step computes. Long enough to hide the crossing (0.1 ms), short enough to abort within 100 ms when
 * the last chunk of a step is a long one.
 */
export const STEP_BUDGET_MS = 25;

/** Drives a task to its end in bounded steps and always disposes it. The signal is looked at between steps. */
export async function runTask<R = void>(
  task: NativeTask,
  phase: string,
  options: RunOptions & { budgetMs?: number; result?: () => R } = {},
): Promise<R> {
  try {
    throwIfAborted(options.signal);
    for (;;) {
      const { done, total, finished } = await task.step(options.budgetMs ?? STEP_BUDGET_MS);
      options.onProgress?.({ phase, done, total });
      if (finished) return options.result?.() as R;
      throwIfAborted(options.signal);
    }
  } catch (error) {
    throw nativeError(error);
  } finally {
    task.dispose();
  }
}
