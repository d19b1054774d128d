import { engineInfo, resolveBackend } from '../native/engine-info.ts';
import type { SelectOptions } from './selector.ts';

/** What computed a result. */
export interface EngineReport {
  readonly backend: string;
  /** instruction set on the processor (in JavaScript its architecture), else the device and its arithmetic */
  readonly isa: string;
  readonly threads: number;
}

/** Of selectors that compute in JavaScript alone. */
export const JAVASCRIPT: EngineReport = { backend: 'javascript', isa: process.arch, threads: 1 };

/** Of native work on plain arrays, which runs on the processor whatever backend was asked for. */
export function processorReport(options: SelectOptions): EngineReport {
  const { isa, threads } = engineInfo();
  return { backend: 'cpu', isa, threads: options.threads || threads };
}

/** The backend that a selection runs on. `auto` means the processor: selection features are small and already in host memory. */
export function engineReport(options: SelectOptions): EngineReport {
  const backend = options.backend === undefined || options.backend === 'auto' ? 'cpu' : resolveBackend(options.backend);
  const info = engineInfo();
  const device = info.backends.find((each) => each.name === 'cuda')?.detail ?? 'cuda';
  const isa = { cpu: info.isa, plain: 'plain', cuda: device }[backend];
  return { backend, isa, threads: options.threads || info.threads };
}
