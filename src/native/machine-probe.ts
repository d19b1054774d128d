import type { RunOptions } from '../core/run-options.ts';
import { addon } from './addon.ts';
import { resolveBackend } from './engine-info.ts';
import { callNative } from './native-error.ts';
import { runTask } from './run-task.ts';

/** What this machine reaches with the engine's own operations: the yardstick of a profile. */
export interface MachineProbe {
  /** Of a product of matrices of 1,024 rows and columns */
  readonly gflopPerSecond: number;
  /** Of reading 192 MiB once, in order */
  readonly gigabytesPerSecond: number;
}

/** The better of several rounds; about half a second and 192 MiB. */
export async function probeMachine(
  options: RunOptions & { readonly backend?: 'auto' | 'cpu' | 'cuda' | 'plain' | undefined; readonly threads?: number | undefined },
): Promise<MachineProbe> {
  const task = callNative(() => addon().probeTask(resolveBackend(options.backend ?? 'auto'), options.threads ?? 0));
  const { flopsPerSecond, bytesPerSecond } = await runTask(task, 'probe', { signal: options.signal, result: () => task.result() });
  return { gflopPerSecond: flopsPerSecond / 1e9, gigabytesPerSecond: bytesPerSecond / 1e9 };
}
