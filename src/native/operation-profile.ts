import { addon } from './addon.ts';
import type { NativeOperationProfile, NativeOperationTotal } from './binding.ts';
import { resolveBackend } from './engine-info.ts';
import { callNative } from './native-error.ts';

export type { NativeOperationTotal as OperationTotal };

export interface OperationTotals extends NativeOperationTotal {
  /** Buffers that the engine took, and their bytes together */
  readonly allocations: number;
  readonly allocatedBytes: number;
}

/** Everything that was recorded, operations that ran alone. */
export type OperationRecord = NativeOperationProfile;

/** Times each operation of every model on one backend, in this thread, from its making to `end`. */
export class OperationProfile {
  constructor(options: { backend?: 'auto' | 'cpu' | 'cuda' | 'plain' | undefined; threads?: number | undefined; mostSpans: number }) {
    const backend = resolveBackend(options.backend ?? 'auto');
    callNative(() => addon().startProfile(backend, options.threads ?? 0, options.mostSpans));
  }

  /** So far; not while a step is under way. */
  totals(): OperationTotals {
    return callNative(() => addon().profileTotals());
  }

  end(): OperationRecord {
    return callNative(() => addon().endProfile());
  }
}
