import type { FileHandle } from 'node:fs/promises';
import { MendsetError } from '../core/errors.ts';
import { didYouMean } from '../core/nearest-name.ts';
import type { EmbeddingSource } from './embedding-source.ts';
import { floatFileSource } from './float-file.ts';
import { FLOAT_BYTES, type FloatFormat } from './float-formats.ts';

const FORMATS: Readonly<Record<string, FloatFormat>> = { F32: 'f32', F64: 'f64', F16: 'f16', BF16: 'bf16' };
const MOST_HEADER_BYTES = 100e6;

interface TensorEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** A two-dimensional tensor of a .safetensors file; its only one when no name is given. */
export async function safetensorsSource(file: FileHandle, path: string, tensor: string | undefined): Promise<EmbeddingSource> {
  const { size } = await file.stat();
  const start = Buffer.alloc(8);
  await file.read(start, 0, 8, 0);
  const length = Number(start.readBigUInt64LE());
  if (size < 8 || length > size - 8 || length > MOST_HEADER_BYTES)
    throw new MendsetError(
      'corrupt',
      `Expected a safetensors header in '${path}' but its length of ${length} bytes does not fit the file.`,
    );
  const text = Buffer.alloc(length);
  await file.read(text, 0, length, 8);
  const entries = parseHeader(text, path);
  const matrices = Object.keys(entries).filter((name) => entries[name]?.shape?.length === 2);
  const name = tensor ?? (matrices.length === 1 ? matrices[0] : undefined);
  if (name === undefined) {
    throw new MendsetError(
      'invalid-argument',
      `Expected the name of a tensor, '${path}#NAME', because the file holds ${matrices.length} matrices${listed(matrices)}.`,
    );
  }
  const entry = Object.hasOwn(entries, name) ? entries[name] : undefined;
  if (entry === undefined)
    throw new MendsetError(
      'not-found',
      `Expected the tensor "${name}" in '${path}' but it has${listed(matrices) || ' no matrix'}.${didYouMean(name, matrices)}`,
    );
  const format = FORMATS[entry.dtype];
  const [rows = -1, columns = -1] = entry.shape;
  if (format === undefined || entry.shape.length !== 2) {
    throw new MendsetError(
      'invalid-data',
      `Expected a matrix of F32, F16, BF16 or F64 in '${path}' but "${name}" has shape (${entry.shape.join(', ')}) of ${entry.dtype}.`,
    );
  }
  const [from, to] = entry.data_offsets;
  if (to - from !== rows * columns * FLOAT_BYTES[format] || from < 0 || 8 + length + to > size)
    throw new MendsetError(
      'corrupt',
      `Expected the data of "${name}" inside '${path}' but its offsets ${from} to ${to} do not fit shape or file.`,
    );
  return floatFileSource(file, path, { rows, columns, offset: 8 + length + from, format }, `${path}#${name}`);
}

function parseHeader(text: Buffer, path: string): Record<string, TensorEntry> {
  try {
    const { __metadata__: _, ...entries } = JSON.parse(text.toString('utf8')) as Record<string, TensorEntry>;
    for (const entry of Object.values(entries)) if (!Array.isArray(entry.shape) || !Array.isArray(entry.data_offsets)) throw new Error();
    return entries;
  } catch (error) {
    throw new MendsetError('corrupt', `Expected a safetensors header in '${path}' but it is not the JSON of one.`, { cause: error });
  }
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? '' : ` (${names.slice(0, 5).join(', ')}${names.length > 5 ? ', ...' : ''})`;
}
