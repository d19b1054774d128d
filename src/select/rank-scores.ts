import { addon } from '../native/addon.ts';
import { callNative } from '../native/native-error.ts';
import { runTask } from '../native/run-task.ts';
import type { SelectOptions } from './selector.ts';

export interface RankRequest {
  readonly count: number;
  readonly end: 'high' | 'low';
  /** pass over scores that are not finite; false (default): stop at the first */
  readonly dropBad?: boolean | undefined;
  /** for progress; default `ranking` */
  readonly phase?: string | undefined;
}

export interface RankResult {
  /** the score that stopped it, or -1; there are then no indices */
  readonly firstBad: number;
  readonly finite: number;
  /** [min(count, finite)] by (value, lowest index) from the asked end */
  readonly indices: Int32Array;
}

/** The best so many scores by (value, lowest index), by the engine: in steps, with all threads. */
export function rankScores(
  scores: Float64Array,
  { count, end, dropBad = false, phase }: RankRequest,
  run: SelectOptions,
): Promise<RankResult> {
  const task = callNative(() => addon().topScoresTask(scores, { count, end, dropBad }, run.threads ?? 0));
  return runTask(task, phase ?? 'ranking', { ...run, result: () => task.result() });
}
