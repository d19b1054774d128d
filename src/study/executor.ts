import type { RunOptions } from '../core/run-options.ts';
import type { Figure, Machine, RepairSummary, SelectionSummary } from './cell-result.ts';
import type { PlannedCell } from './plan.ts';

/** One completion kept for reading. */
export interface Sample {
  readonly prompt: string;
  readonly completion: string;
  readonly toxicity: number | null;
}

export interface CellOutcome {
  /** N of the window that was used; null for the unrepaired model */
  readonly window: number | null;
  readonly selection: SelectionSummary | null;
  readonly repairRun: RepairSummary | null;
  readonly figures: Readonly<Record<string, Figure>>;
  readonly scorer: { readonly name: string; readonly version: string; readonly weightsHash: string } | null;
  readonly evaluationSeconds: number;
  readonly samples: readonly Sample[];
  /** Where another process computed it */
  readonly machine?: Machine | undefined;
  readonly peakMemoryBytes?: number | undefined;
}

/** Computes cells. It keeps what cells share (a loaded model, features, selections, reference values) between calls. */
export interface StudyExecutor {
  /** Cells it computes at the same time; default 1 */
  readonly concurrency?: number | undefined;
  machine(): Machine;
  /** Rejects when a model of these cells cannot be used, so that the last model's mistake is told before the first one's work */
  check?(cells: readonly PlannedCell[], options: RunOptions): Promise<void>;
  compute(cell: PlannedCell, options: RunOptions): Promise<CellOutcome>;
  /** What is made of finished cells together; told their plan when none is missing */
  finish?(cells: readonly PlannedCell[], options: RunOptions): Promise<void>;
  dispose(): void;
}
