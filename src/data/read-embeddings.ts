import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { MendsetError } from '../core/errors.ts';
import { fileError } from '../core/files.ts';
import { type Matrix, matrix } from '../core/matrix.ts';
import { defaultMemoryLimit, formatBytes, requireMemory } from '../core/memory.ts';
import { type RunOptions, throwIfAborted } from '../core/run-options.ts';
import type { EmbeddingSource } from './embedding-source.ts';
import { npySource } from './npy-source.ts';
import { parquetSource } from './parquet-source.ts';
import { safetensorsSource } from './safetensors-source.ts';
import { SpilledRows } from './spilled-rows.ts';

/** Some rows, one after another. */
export interface EmbeddingBlock {
  /** row-major, a whole number of rows; may be reused by the caller after the next block was asked for */
  readonly rows: Float32Array;
  readonly columns: number;
}

export interface ReadEmbeddingsOptions extends RunOptions {
  /** bytes for the matrix, its reading and the `workBytes`; default 80 % of the free memory. Beyond it: `out-of-memory` before reading */
  readonly memoryLimit?: number | undefined;
  /** bytes that the work on the matrix will take, so that both together are held against the limit */
  readonly workBytes?: ((rows: number, columns: number) => number) | undefined;
  /** refuse NaN and infinity with their row and column (code `non-finite`); default true */
  readonly finite?: boolean | undefined;
  /**
   * whether the matrix stays on disk, as memory whose pages come and go: `auto` (default), when it does not fit beside the work. fp32 of a
   * .npy or .safetensors file stays in that file, which must not shrink meanwhile, and NaN and infinity are left for the work to find;
   * everything else is turned into fp32 block by block, in a temporary file without a name
   */
  readonly map?: 'auto' | 'always' | 'never' | undefined;
  /** folder of that file; default the system's (TMPDIR). Refused where it is memory itself (tmpfs) */
  readonly temporary?: string | undefined;
  /** number of rows of an iterable, where it is known: the matrix is then allocated once, else it grows */
  readonly rows?: number | undefined;
}

/** Rows are read in blocks of about so many bytes, fewer where the limit is near. */
const BLOCK_BYTES = 32 * 2 ** 20;

/**
 * Reads embeddings block by block into one matrix of n rows and d columns, fp32; what is larger than memory stays on disk (`map`).
 * @param input `F.npy`, `F.safetensors` or `F.safetensors#TENSOR` (F32, F16, BF16, F64), `F.parquet` or `F.parquet#COLUMN` (lists of
 *   floats), or blocks of rows in order
 * @throws MendsetError `out-of-memory` with the numbers, before anything is read; `not-found`, `corrupt`, `unsupported`, `invalid-data`,
 *   `non-finite`, `aborted`
 * @example const embeddings = await readEmbeddings('features.parquet#embedding', { memoryLimit: 4 * 2 ** 30 });
 */
export async function readEmbeddings(input: string | AsyncIterable<EmbeddingBlock>, options: ReadEmbeddingsOptions = {}): Promise<Matrix> {
  if (typeof input !== 'string') return fromBlocks(input, options);
  const source = await openEmbeddings(input);
  try {
    return await fromSource(source, options);
  } finally {
    await source.close();
  }
}

/** Opens a file of embeddings: only its header is read. The caller closes it. */
export async function openEmbeddings(place: string): Promise<EmbeddingSource> {
  const { path, part } = splitEmbeddingsPath(place);
  const kind = /\.(npy|safetensors|parquet)$/i.exec(path)?.[1]?.toLowerCase();
  if (kind === undefined)
    throw new MendsetError('unsupported', `Expected a .npy, .safetensors or .parquet file of embeddings but received '${path}'.`);
  if (kind === 'npy' && part !== undefined)
    throw new MendsetError('invalid-argument', `Expected no '#${part}' after a .npy file, which holds one array, but received '${place}'.`);
  if (kind === 'parquet') return parquetSource(path, part);
  const file = await open(path, 'r').catch((error: unknown) => {
    throw fileError(error, path, 'read');
  });
  try {
    return kind === 'npy' ? await npySource(file, path) : await safetensorsSource(file, path, part);
  } catch (error) {
    await file.close();
    throw fileError(error, path, 'read');
  }
}

/** `F.parquet#COLUMN` into its path and what follows the last `#`. */
export function splitEmbeddingsPath(place: string): { readonly path: string; readonly part: string | undefined } {
  const hash = place.lastIndexOf('#');
  if (hash < 0 || !/\.(npy|safetensors|parquet)$/i.test(place.slice(0, hash))) return { path: place, part: undefined };
  return { path: place.slice(0, hash), part: place.slice(hash + 1) };
}

async function fromSource(source: EmbeddingSource, options: ReadEmbeddingsOptions): Promise<Matrix> {
  const { rows, columns, name } = source;
  if (rows === 0 || columns === 0) {
    throw new MendsetError('invalid-data', `Expected at least one row and one column in '${name}' but found shape (${rows}, ${columns}).`);
  }
  const input = 4 * rows * columns;
  const work = options.workBytes?.(rows, columns) ?? 0;
  const limit = options.memoryLimit ?? defaultMemoryLimit();
  // What the limit leaves decides the block; a format may not go below its own.
  const spare = Math.max(0, limit - input - work);
  const wanted = Math.max(1, Math.floor(Math.min(BLOCK_BYTES, spare / 4) / Math.max(4 * columns, 1)));
  const blockRows = source.blockRows ?? wanted;
  const { map = 'auto' } = options;
  if (map === 'always' || (map === 'auto' && input + work > limit && work <= limit)) {
    throwIfAborted(options.signal);
    const onDisk = source.map?.() ?? (await spill(source, work, limit, options));
    if (onDisk) return matrix(onDisk, rows, columns);
  }
  requireMemory(name, { input, work, reading: source.readBytes(Math.min(blockRows, rows)) }, options.memoryLimit);
  const data = new Float32Array(rows * columns);
  for (let first = 0; first < rows; first += blockRows)
    await readBlock(source, first, data.subarray(first * columns, Math.min(rows, first + blockRows) * columns), options);
  return matrix(data, rows, columns);
}

async function readBlock(source: EmbeddingSource, first: number, target: Float32Array, options: ReadEmbeddingsOptions): Promise<void> {
  throwIfAborted(options.signal);
  await source.read(first, target);
  if (options.finite !== false) requireFinite(target, first, source.columns, source.name);
  options.onProgress?.({ phase: 'reading', done: first + target.length / source.columns, total: source.rows });
}

/** Every block is turned into fp32 and written to a temporary file; null where the platform maps no files. */
async function spill(source: EmbeddingSource, work: number, limit: number, options: ReadEmbeddingsOptions): Promise<Float32Array | null> {
  if (process.platform === 'win32') return null;
  const { rows, columns, name } = source;
  const wanted = Math.floor(Math.min(BLOCK_BYTES, Math.max(0, limit - work) / 4) / (4 * columns));
  const blockRows = Math.min(source.blockRows ?? Math.max(1, wanted), rows);
  requireMemory(`a block of ${name}`, { work, block: 4 * blockRows * columns, reading: source.readBytes(blockRows) }, limit);
  const spilled = await SpilledRows.create(options.temporary ?? tmpdir(), name, 4 * rows * columns);
  try {
    const block = new Float32Array(blockRows * columns);
    for (let first = 0; first < rows; first += blockRows) {
      const target = block.subarray(0, Math.min(blockRows, rows - first) * columns);
      await readBlock(source, first, target, options);
      await spilled.append(target);
    }
  } catch (error) {
    await spilled.discard();
    throw error;
  }
  return spilled.finish();
}

async function fromBlocks(blocks: AsyncIterable<EmbeddingBlock>, options: ReadEmbeddingsOptions): Promise<Matrix> {
  const { map = 'auto' } = options;
  const limit = options.memoryLimit ?? defaultMemoryLimit();
  let data = new Float32Array(0);
  let spilled: SpilledRows | undefined;
  let columns = -1;
  let filled = 0;
  try {
    for await (const block of blocks) {
      throwIfAborted(options.signal);
      if (columns < 0) columns = block.columns;
      if (block.columns !== columns || !(columns > 0) || block.rows.length % columns !== 0) {
        throw new MendsetError(
          'invalid-data',
          `Expected blocks of whole rows of ${columns > 0 ? columns : 'at least one'} columns but received ${block.rows.length} numbers of ${block.columns} columns after ${filled / Math.max(columns, 1)} rows.`,
        );
      }
      if (options.finite !== false) requireFinite(block.rows, filled / columns, columns, 'the embeddings');
      const need = filled + block.rows.length;
      if (spilled === undefined && need > data.length) {
        const known = options.rows === undefined ? 0 : options.rows * columns;
        const size = Math.max(known, need === known ? need : Math.ceil(need * 1.25));
        const work = options.workBytes?.(Math.floor(size / columns), columns) ?? 0;
        const bytes = { input: 4 * size, work, growing: 4 * filled };
        const fits = bytes.input + bytes.work + bytes.growing <= limit;
        if (map !== 'never' && process.platform !== 'win32' && (map === 'always' || (!fits && work <= limit))) {
          spilled = await SpilledRows.create(options.temporary ?? tmpdir(), 'the embeddings', 4 * size);
          await spilled.append(data.subarray(0, filled));
          data = new Float32Array(0);
        } else {
          requireMemory(`embeddings of more than ${Math.floor(filled / columns)} rows`, bytes, limit);
          const larger = new Float32Array(size);
          larger.set(data.subarray(0, filled));
          data = larger;
        }
      }
      if (spilled) await spilled.append(block.rows);
      else data.set(block.rows, filled);
      filled = need;
      options.onProgress?.({ phase: 'reading', done: filled / columns, total: options.rows ?? filled / columns });
    }
    if (columns < 0) throw new MendsetError('invalid-data', 'Expected at least one block of embeddings but received none.');
    if (options.rows !== undefined && options.rows * columns !== filled)
      throw new MendsetError(
        'invalid-data',
        `Expected ${options.rows} rows of embeddings but the blocks have ${filled / columns} (${formatBytes(4 * filled)}).`,
      );
  } catch (error) {
    await spilled?.discard();
    throw error;
  }
  const onDisk = await spilled?.finish();
  if (onDisk === null)
    throw new MendsetError('out-of-memory', 'Expected the embeddings to fit into the memory limit: this runtime maps no files; raise it.');
  return matrix(onDisk ?? data.subarray(0, filled), filled / columns, columns);
}

function requireFinite(values: Float32Array, firstRow: number, columns: number, name: string): void {
  // A sum is finite only if all are, save for overflow, which the second look forgives.
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] as number;
  if (Number.isFinite(sum)) return;
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  throw new MendsetError(
    'non-finite',
    `Expected finite numbers in ${name} but row ${firstRow + Math.floor(at / columns)}, column ${at % columns} is ${values[at]}: fix or drop that record.`,
  );
}
