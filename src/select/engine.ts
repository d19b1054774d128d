import { addon } from '../native/addon.ts';
import { callNative } from '../native/native-error.ts';
import type { SelectOptions } from './selector.ts';

/** Which native engine computed a result. */
export interface EngineReport {
  readonly backend: string;
  /** instruction set, for backends on the processor */
  readonly isa: string;
  readonly threads: number;
}

/** The backend that a selection runs on. `auto` means the processor: selection features are small and already in host memory. */
export function engineReport(options: SelectOptions): EngineReport {
  const backend = options.backend === undefined || options.backend === 'auto' ? 'cpu' : options.backend;
  const info = callNative(() => addon().info());
  return { backend, isa: backend === 'plain' ? 'plain' : info.isa, threads: options.threads || info.threads };
}
