import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MendsetError } from '../core/errors.ts';
import { sha256Files } from '../core/hash.ts';
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

export interface LanguageModelOptions extends LoadOptions {
  /**
   * `float32` (default), or `stored`: weight matrices that the files hold in 16 bits stay so and are widened where they are read. Every
   * result has the same bits, in about half the memory; a block that is trained is held in float32 from its first update on. On the
   * processor only. `summary.heldDtype` says what came of it.
   */
  readonly weights?: WeightStorage | undefined;
}

export type WeightStorage = 'float32' | 'stored';
export const WEIGHT_STORAGES: readonly WeightStorage[] = ['float32', 'stored'];

export type BackendName = 'auto' | 'cpu' | 'cuda' | 'plain';

export interface LoadedWeights {
  readonly handle: NativeModel;
  /** SHA-256 over config.json, the index and the weight files */
  readonly hash: string;
}

/**
 * Reads a checkpoint's weights with the task that `start` makes, and hashes its files meanwhile. Some of the engine's sentences name a
 * file of the folder alone, or a tensor; then the folder is put before them.
 */
export async function loadWeights(
  directory: string,
  options: LoadOptions,
  start: (backend: string, threads: number) => NativeTask & { result(): NativeModel },
): Promise<LoadedWeights> {
  const stop = new AbortController();
  let handle: NativeModel | undefined;
  try {
    const task = callNative(() => start(resolveBackend(options.backend ?? 'auto'), options.threads ?? 0));
    const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
    const hashing = weightFiles(directory).then((files) => sha256Files(files, signal));
    hashing.catch(() => {}); // where the engine refuses the folder too, its sentence is the one that is reported
    handle = await runTask(task, 'load model', { ...options, result: () => task.result() });
    return { handle, hash: await hashing };
  } catch (error) {
    stop.abort();
    handle?.dispose();
    if (!(error instanceof MendsetError) || error.code === 'aborted' || error.message.includes(directory)) throw error;
    throw new MendsetError(error.code, `${directory}: ${error.message}`, { cause: error });
  }
}

/** What the hash of a model is made of. */
async function weightFiles(directory: string): Promise<string[]> {
  const config = join(directory, 'config.json');
  const index = join(directory, 'model.safetensors.index.json');
  const text = await readFile(index, 'utf8').catch(() => null);
  if (text === null) return [config, join(directory, 'model.safetensors')];
  const { weight_map } = JSON.parse(text) as { weight_map: Record<string, string> };
  return [config, index, ...[...new Set(Object.values(weight_map))].sort().map((file) => join(directory, file))];
}
