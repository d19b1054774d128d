import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MendsetError } from '../core/errors.ts';
import type { RunOptions } from '../core/run-options.ts';
import type { NativeModel, NativeTask } from '../native/binding.ts';
import { resolveBackend } from '../native/engine-info.ts';
import { callNative } from '../native/native-error.ts';
import { runTask } from '../native/run-task.ts';

export interface LoadOptions extends RunOptions {
  /** `cpu` (default) or `plain`, the slow reference; `auto` takes the fastest usable one and records the choice. */
  readonly backend?: BackendName | undefined;
  /** 0 = `MENDSET_THREADS` or all cores */
  readonly threads?: number | undefined;
}

export type BackendName = 'auto' | 'cpu' | 'cuda' | 'plain';

/**
 * Reads a checkpoint's weights with the task that `start` makes. Some of the engine's sentences name a file of the folder alone, or a
 * tensor; then the folder is put before them.
 */
export async function loadWeights(
  directory: string,
  options: LoadOptions,
  start: (backend: string, threads: number) => NativeTask & { result(): NativeModel },
): Promise<NativeModel> {
  try {
    const task = callNative(() => start(resolveBackend(options.backend ?? 'auto'), options.threads ?? 0));
    return await runTask(task, 'load model', { ...options, result: () => task.result() });
  } catch (error) {
    if (!(error instanceof MendsetError) || error.code === 'aborted' || error.message.includes(directory)) throw error;
    throw new MendsetError(error.code, `${directory}: ${error.message}`, { cause: error });
  }
}

/** config.json, the index and the weight files: what the hash of a model is made of. */
export async function weightFiles(directory: string): Promise<string[]> {
  const config = join(directory, 'config.json');
  const index = join(directory, 'model.safetensors.index.json');
  const text = await readFile(index, 'utf8').catch(() => null);
  if (text === null) return [config, join(directory, 'model.safetensors')];
  const { weight_map } = JSON.parse(text) as { weight_map: Record<string, string> };
  return [config, index, ...[...new Set(Object.values(weight_map))].sort().map((file) => join(directory, file))];
}
