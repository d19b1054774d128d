import { engineInfo, resolveBackend } from '../native/engine-info.ts';
import type { SelectOptions } from './selector.ts';

/** Which native engine computed a result. */
export interface EngineReport {
  readonly backend: string;
  /** instruction set on the processor, else the device and its arithmetic */
  readonly isa: string;
  readonly threads: number;
}

/** The backend that a selection runs on. `auto` means the processor: selection features are small and already in host memory. */
export function engineReport(options: SelectOptions): EngineReport {
  const backend = options.backend === undefined || options.backend === 'auto' ? 'cpu' : resolveBackend(options.backend);
  const info = engineInfo();
  const device = info.backends.find((each) => each.name === 'cuda')?.detail ?? 'cuda';
  const isa = { cpu: info.isa, plain: 'plain', cuda: device }[backend];
  return { backend, isa, threads: options.threads || info.threads };
}
