import { MendsetError } from '../core/errors.ts';
import { addon } from './addon.ts';
import type { NativeInfo as EngineInfo } from './binding.ts';
import { infoWithCuda } from './cuda-plugin.ts';
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
  return callNative(() => infoWithCuda(addon()));
}

/**
 * The backend to use for a wish: `auto` means CUDA when usable, else the processor; a backend that was named never falls back.
 *
 * @throws MendsetError `device` with the reason when `cuda` was named and cannot be used
 */
export function resolveBackend(name: 'auto' | 'cpu' | 'cuda' | 'plain'): 'cpu' | 'cuda' | 'plain' {
  if (name === 'cpu' || name === 'plain') return name;
  const cuda = engineInfo().backends.find((backend) => backend.name === 'cuda');
  if (cuda?.usable) return 'cuda';
  if (name === 'auto') return 'cpu';
  const detail = cuda?.detail ?? 'this engine has no such backend.';
  const prefix = "The backend 'cuda' is not usable here: ";
  throw new MendsetError('device', detail.startsWith(prefix) ? detail : `${prefix}${detail}`);
}
