import { MendsetError } from './errors.ts';

/** How far a long call has come. */
export interface ProgressEvent {
  /** What is being done, e.g. `embedding`, `k-means`, `repair`. */
  readonly phase: string;
  readonly done: number;
  readonly total: number;
  /** Extra words for a person, e.g. `loss 3.21`. */
  readonly detail?: string;
}

/** Options of every long call. */
export interface RunOptions {
  /** Aborts the call: it rejects with code `aborted` within about one step (25 ms, 100 at most) and leaves nothing half-written. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
}

/** Rejects with code `aborted` once the signal has fired; the signal's own reason is kept as the cause. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new MendsetError('aborted', 'The work was aborted by its signal.', { cause: signal.reason });
}
