import { addon } from './addon.ts';
import type { NativeInfo as EngineInfo } from './binding.ts';
import { callNative } from './native-error.ts';

/** What the native engine says about itself and this machine. */
export type { EngineInfo };

/**
 * Compiler, instruction sets, threads and backends of the native engine.
 *
 * @throws MendsetError `unsupported` when the engine cannot be loaded; `invalid-argument` for a wrong MENDSET_ISA or MENDSET_THREADS
 * @example
 * const { isa, backends } = engineInfo();
 */
export function engineInfo(): EngineInfo {
  return callNative(() => addon().info());
}
