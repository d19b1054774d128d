import { copyFile, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { MendsetError } from '../core/errors.ts';
import { pathKind } from '../core/files.ts';
import { type RunOptions, throwIfAborted } from '../core/run-options.ts';
import { addon } from '../native/addon.ts';
import type { NativeModel } from '../native/binding.ts';
import { callNative } from '../native/native-error.ts';
import { runTask } from '../native/run-task.ts';

/** Files that belong to a checkpoint beside its weights and are copied byte for byte. */
const CARRIED_FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'merges.txt',
  'generation_config.json',
  'vocab.txt',
  'tokenizer.model',
  'sentencepiece.bpe.model',
  'spiece.model',
  'chat_template.jinja',
] as const;

/** 5 GB, the shard size Hugging Face transformers writes. */
const DEFAULT_SHARD_BYTES = 5_000_000_000;

export interface SaveOptions extends RunOptions {
  /** Default: of each tensor the element type that it was read in, F32 for fresh ones. `held`: every tensor as it is in memory, so exactly. */
  readonly dtype?: 'F32' | 'F16' | 'BF16' | 'held';
  readonly shardBytes?: number;
}

/**
 * Writes weights, config and tokenizer as a folder that Hugging Face transformers loads. Everything goes into a folder beside
 * `directory`, which takes its place once complete: a failure or an abort leaves an earlier checkpoint as it was.
 *
 * `sourceDirectory` is where the model came from (tokenizer and generation_config.json are copied from it); null for fresh models.
 * Rejects with `invalid-argument` when `directory` holds files but no checkpoint, and with `io` when the disk refuses.
 */
export async function saveCheckpoint(
  handle: NativeModel,
  sourceDirectory: string | null,
  directory: string,
  options: SaveOptions = {},
): Promise<void> {
  const target = resolve(directory);
  throwIfAborted(options.signal);
  await requireReplaceable(target);
  const parent = dirname(target);
  const mark = `${basename(target)}.${process.pid}-${Date.now().toString(36)}`;
  const partial = join(parent, `.${mark}.partial`);
  const previous = join(parent, `.${mark}.previous`);
  try {
    await mkdir(partial, { recursive: true });
    await removeRemains(target);
    const task = callNative(() =>
      addon().saveModelTask(handle, partial, options.dtype ?? 'source', options.shardBytes ?? DEFAULT_SHARD_BYTES),
    );
    await runTask(task, 'save model', { signal: options.signal, onProgress: options.onProgress });
    if (sourceDirectory !== null) await carryFiles(resolve(sourceDirectory), partial);
    throwIfAborted(options.signal);
    const replaced = await moveAway(target, previous);
    try {
      await rename(partial, target);
    } catch (error) {
      if (replaced) await rename(previous, target);
      throw error;
    }
    await rm(previous, { recursive: true, force: true });
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    if (error instanceof MendsetError) throw error;
    throw new MendsetError(
      'io',
      `Expected to write a checkpoint to ${directory} but the file system refused: ${(error as Error).message}.`,
      {
        cause: error,
      },
    );
  }
}

/** What a checkpoint consists of, beside its weights, and the records that mendset's programs write beside it. */
const OWN_FILES: ReadonlySet<string> = new Set(['config.json', 'repair.json', 'sensitivity.csv', 'training.json', ...CARRIED_FILES]);
const WEIGHT_FILE = /\.safetensors(\.index\.json)?$/;

/**
 * Rejects with `invalid-argument` unless `target` is absent, an empty folder, or holds a checkpoint and nothing else: saving replaces
 * the folder, so files that a checkpoint does not have are the caller's and would be lost.
 */
export async function requireReplaceable(target: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(target);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw new MendsetError(
      'invalid-argument',
      `Expected ${target} to be a folder for a checkpoint but it cannot be listed: ${(error as Error).message}.`,
      {
        cause: error,
      },
    );
  }
  const foreign = names.filter((n) => !OWN_FILES.has(n) && !WEIGHT_FILE.test(n));
  if (foreign.length > 0) {
    throw new MendsetError(
      'invalid-argument',
      `Expected ${target} to be absent, empty or an earlier checkpoint but it holds other files (${foreign.slice(0, 3).join(', ')}${foreign.length > 3 ? ', ...' : ''}): name another folder.`,
    );
  }
}

/**
 * Folders that a process which was killed while it saved has left beside `target`: what it was writing is removed; what it had moved away is
 * put back where nothing has taken its place.
 */
async function removeRemains(target: string): Promise<void> {
  const parent = dirname(target);
  const prefix = `.${basename(target)}.`;
  for (const name of await readdir(parent)) {
    const match = name.startsWith(prefix) ? /^(\d+)-[0-9a-z]+\.(partial|previous)$/.exec(name.slice(prefix.length)) : null;
    if (!match || isRunning(Number(match[1]))) continue;
    const remains = join(parent, name);
    const restored = match[2] === 'previous' && (await pathKind(target)) === 'none' && (await moveAway(remains, target));
    if (!restored) await rm(remains, { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

async function carryFiles(source: string, target: string): Promise<void> {
  for (const name of CARRIED_FILES) {
    try {
      await copyFile(join(source, name), join(target, name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
      throw error;
    }
    const file = await open(join(target, name), 'r+');
    await file.sync().finally(() => file.close());
  }
}

async function moveAway(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
