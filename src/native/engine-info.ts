import { addon } from './addon.ts';
import type { NativeBinding } from './binding.ts';
import { callNative } from './native-error.ts';

/** What the native engine says about itself and this machine. */
export type EngineInfo = ReturnType<NativeBinding['info']>;

/** Throws `unsupported` when the engine cannot be loaded. */
export function engineInfo(): EngineInfo {
  return callNative(() => addon().info());
}
