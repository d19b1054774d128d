import type { FileHandle } from 'node:fs/promises';
import { MendsetError } from '../core/errors.ts';
import type { EmbeddingSource } from './embedding-source.ts';
import { floatFileSource } from './float-file.ts';
import type { FloatFormat } from './float-formats.ts';
import { readNpyHeader } from './npy.ts';

const FORMATS: Readonly<Record<string, FloatFormat>> = { '<f4': 'f32', '<f8': 'f64', '<f2': 'f16' };

/** The matrix of a .npy file; one dimension counts as one column. */
export async function npySource(file: FileHandle, path: string): Promise<EmbeddingSource> {
  const { dtype, shape, offset } = await readNpyHeader(file, path);
  const format = FORMATS[dtype];
  if (format === undefined || shape.length < 1 || shape.length > 2) {
    throw new MendsetError(
      'invalid-data',
      `Expected a matrix of floats in '${path}' but found shape (${shape.join(', ')}) of '${dtype}'; save array.reshape(n, -1).astype('float32').`,
    );
  }
  const [rows = 0, columns = 1] = shape;
  const bytes = rows * columns * Number(dtype.slice(2));
  const { size } = await file.stat();
  if (size !== offset + bytes) {
    throw new MendsetError(
      'corrupt',
      `Expected ${bytes} bytes of data for shape (${shape.join(', ')}) of '${dtype}' in '${path}' but found ${size - offset}; write the file again.`,
    );
  }
  return floatFileSource(file, path, { rows, columns, offset, format });
}
