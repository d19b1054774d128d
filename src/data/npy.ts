import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { endianness } from 'node:os';

import { MendsetError } from '../core/errors.ts';
import { fileError, writeFileAtomic } from '../core/files.ts';
import type { Matrix } from '../core/matrix.ts';
import { matrix } from '../core/matrix.ts';
import { halfToSingle } from './float-formats.ts';

export type NpyDtype = '<f4' | '<f8' | '<f2' | '<i4' | '<i8' | '|u1' | '|b1';
export type NpyData = Float32Array | Float64Array | Int32Array | BigInt64Array | Uint8Array;

/** An array of a .npy file in C order; `<f2` is widened to Float32Array. */
export interface NpyArray {
  readonly dtype: NpyDtype;
  readonly shape: readonly number[];
  readonly data: NpyData;
}

const bytesOf: Readonly<Record<NpyDtype, number>> = { '<f4': 4, '<f8': 8, '<f2': 2, '<i4': 4, '<i8': 8, '|u1': 1, '|b1': 1 };
const magic = Buffer.from('\x93NUMPY', 'latin1');

/**
 * Reads a .npy file (versions 1.0 to 3.0; little-endian floats of 2, 4, 8 bytes, integers of 4, 8, bytes and booleans; C order).
 * Throws `corrupt` for a damaged file and `unsupported`, naming what was found, for object, big-endian, Fortran-order and other arrays.
 *
 * @example
 * const { dtype, shape, data } = await readNpy('features.npy');
 */
export async function readNpy(path: string): Promise<NpyArray> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    throw fileError(error, path, 'read');
  }
  try {
    const { dtype, shape, offset } = await readNpyHeader(file, path);
    const count = shape.reduce((product, size) => product * size, 1);
    const bytes = count * bytesOf[dtype];
    const { size } = await file.stat();
    if (!Number.isSafeInteger(bytes) || size !== offset + bytes) {
      throw new MendsetError(
        'corrupt',
        `Expected ${bytes} bytes of data for shape (${shape.join(', ')}) of '${dtype}' in '${path}' but found ${size - offset}; write the file again.`,
      );
    }
    const buffer = new ArrayBuffer(bytes);
    await readFully(file, new Uint8Array(buffer), offset, path);
    return { dtype, shape, data: view(dtype, buffer) };
  } catch (error) {
    throw fileError(error, path, 'read');
  } finally {
    await file.close();
  }
}

/**
 * Reads a matrix of floats (n rows, d columns) as Float32; one dimension counts as one column. `<f8` is rounded.
 * With `finite` (the default) NaN and infinity are refused with their row and column (code `non-finite`).
 *
 * @throws MendsetError `not-found`, `io`, `corrupt`, `unsupported`, `invalid-data` (shape or type), `non-finite`
 * @example
 * const embeddings = await readNpyMatrix('features.npy');
 */
export async function readNpyMatrix(path: string, options: { readonly finite?: boolean } = {}): Promise<Matrix> {
  const { dtype, shape, data } = await readNpy(path);
  const [rows = 0, columns = 1] = shape;
  if (shape.length < 1 || shape.length > 2 || !(data instanceof Float32Array || data instanceof Float64Array)) {
    throw new MendsetError(
      'invalid-data',
      `Expected a matrix of floats in '${path}' but found shape (${shape.join(', ')}) of '${dtype}'; save array.reshape(n, -1).astype('float32').`,
    );
  }
  if (rows === 0 || columns === 0) {
    throw new MendsetError('invalid-data', `Expected at least one row and one column in '${path}' but found shape (${shape.join(', ')}).`);
  }
  const values = data instanceof Float32Array ? data : Float32Array.from(data);
  if (options.finite !== false) requireFinite(values, columns, path);
  return matrix(values, rows, columns);
}

/**
 * Reads one number per record as Float64; integers are accepted. NaN and infinity are refused unless `finite` is false.
 *
 * @throws MendsetError `not-found`, `io`, `corrupt`, `unsupported`, `invalid-data` (shape), `non-finite`
 * @example
 * const scores = await readNpyVector('scores.npy');
 */
export async function readNpyVector(path: string, options: { readonly finite?: boolean } = {}): Promise<Float64Array> {
  const { shape, data } = await readNpy(path);
  if (shape.length !== 1 && !(shape.length === 2 && shape[1] === 1)) {
    throw new MendsetError(
      'invalid-data',
      `Expected one number per record, shape (n,), in '${path}' but found shape (${shape.join(', ')}); save the column that is meant.`,
    );
  }
  const values = data instanceof BigInt64Array ? Float64Array.from(data, Number) : Float64Array.from(data);
  if (options.finite !== false) {
    const at = values.findIndex((value) => !Number.isFinite(value));
    if (at >= 0)
      throw new MendsetError(
        'non-finite',
        `Expected a finite number for every record in '${path}' but record ${at} has ${values[at]}: fix it, or leave that record out.`,
      );
  }
  return values;
}

/**
 * Reads token ids (or other non-negative integers below 2^31; with `negative` all of 32 bits) of any shape, in C order.
 *
 * @throws MendsetError `not-found`, `io`, `corrupt`, `unsupported`, `invalid-data` (floats or negative numbers)
 * @example
 * const { ids } = await readNpyIds('tokens.npy');
 */
export async function readNpyIds(
  path: string,
  options: { readonly negative?: boolean } = {},
): Promise<{ readonly ids: Int32Array; readonly shape: readonly number[] }> {
  const { dtype, shape, data } = await readNpy(path);
  if (data instanceof Float32Array || data instanceof Float64Array || dtype === '|b1') {
    throw new MendsetError('invalid-data', `Expected integers in '${path}' but found '${dtype}'; save them as int32 or int64.`);
  }
  const ids = new Int32Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const id = Number(data[i]);
    if (id < (options.negative ? -0x80000000 : 0) || id > 0x7fffffff)
      throw new MendsetError(
        'invalid-data',
        `Expected ${options.negative ? 'integers of 32 bits' : 'ids from 0 to 2147483647'} in '${path}' but entry ${i} is ${data[i]}.`,
      );
    ids[i] = id;
  }
  return { ids, shape };
}

/**
 * Writes an array as .npy version 1.0, atomically; data start at a multiple of 64 bytes.
 *
 * @throws MendsetError `invalid-argument` when shape and data disagree, `io`
 * @example
 * await writeNpy('embeddings.npy', embeddings.data, [embeddings.rows, embeddings.columns]);
 */
export async function writeNpy(path: string, data: NpyData, shape: readonly number[] = [data.length]): Promise<void> {
  if (shape.reduce((product, size) => product * size, 1) !== data.length) {
    throw new MendsetError('invalid-argument', `Expected ${data.length} numbers for shape (${shape.join(', ')}) of '${path}'.`);
  }
  const dtype: NpyDtype =
    data instanceof Float32Array
      ? '<f4'
      : data instanceof Float64Array
        ? '<f8'
        : data instanceof Int32Array
          ? '<i4'
          : data instanceof BigInt64Array
            ? '<i8'
            : '|u1';
  const dict = `{'descr': '${dtype}', 'fortran_order': False, 'shape': (${shape.join(', ')}${shape.length === 1 ? ',' : ''}), }`;
  const headerBytes = Math.ceil((10 + dict.length + 1) / 64) * 64 - 10;
  const header = Buffer.alloc(10 + headerBytes, ' ');
  magic.copy(header);
  header[6] = 1;
  header[7] = 0;
  header.writeUInt16LE(headerBytes, 8);
  header.write(dict, 10, 'latin1');
  header[header.length - 1] = 0x0a;
  requireLittleEndian();
  await writeFileAtomic(path, [header, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)]);
}

/** Type, shape and the position of the first number. */
export async function readNpyHeader(file: FileHandle, path: string): Promise<{ dtype: NpyDtype; shape: number[]; offset: number }> {
  requireLittleEndian();
  const { size } = await file.stat();
  const start = Buffer.alloc(Math.min(12, size));
  await readFully(file, start, 0, path);
  if (start.length < 10 || !start.subarray(0, 6).equals(magic)) {
    throw new MendsetError('corrupt', `Expected a .npy file at '${path}' but it does not begin as one; write it with numpy.save.`);
  }
  const version = start[6] as number;
  if (version < 1 || version > 3)
    throw new MendsetError('unsupported', `Expected .npy version 1, 2 or 3 in '${path}' but found ${version}.`);
  const before = version === 1 ? 10 : 12;
  const length = version === 1 ? start.readUInt16LE(8) : start.length < 12 ? size : start.readUInt32LE(8);
  if (before + length > size)
    throw new MendsetError('corrupt', `Expected a header of ${length} bytes in '${path}' but the file ends before it does.`);
  const bytes = Buffer.alloc(length);
  await readFully(file, bytes, before, path);
  const text = bytes.toString('latin1');
  const descr = /'descr':\s*('([^']*)'|\[)/.exec(text);
  const order = /'fortran_order':\s*(True|False)/.exec(text)?.[1];
  const shapeText = /'shape':\s*\(([\d,\sL]*)\)/.exec(text)?.[1];
  if (descr === null || order === undefined || shapeText === undefined) {
    throw new MendsetError('corrupt', `Expected 'descr', 'fortran_order' and 'shape' in the header of '${path}' but it lacks one of them.`);
  }
  const dtype = descr[2] ?? 'structured';
  if (!(dtype in bytesOf)) {
    const kind = dtype.includes('O')
      ? 'an object array'
      : dtype.startsWith('>')
        ? `the big-endian type '${dtype}'`
        : dtype === 'structured'
          ? 'a structured array'
          : `the type '${dtype}'`;
    throw new MendsetError(
      'unsupported',
      `'${path}' holds ${kind}, which is not read; convert it, for example with array.astype('float32').`,
    );
  }
  const shape = shapeText
    .split(',')
    .map((part) => part.trim().replace('L', ''))
    .filter((part) => part !== '')
    .map(Number);
  if (order === 'True' && shape.length > 1) {
    throw new MendsetError('unsupported', `'${path}' is in Fortran order, which is not read; convert it with numpy.ascontiguousarray.`);
  }
  return { dtype: dtype as NpyDtype, shape, offset: before + length };
}

async function readFully(file: FileHandle, target: Uint8Array, position: number, path: string): Promise<void> {
  for (let done = 0; done < target.length; ) {
    const { bytesRead } = await file.read(target, done, Math.min(target.length - done, 1 << 26), position + done);
    if (bytesRead === 0)
      throw new MendsetError('corrupt', `Expected ${target.length} bytes at ${position} of '${path}' but it ended after ${done}.`);
    done += bytesRead;
  }
}

function view(dtype: NpyDtype, buffer: ArrayBuffer): NpyData {
  switch (dtype) {
    case '<f4':
      return new Float32Array(buffer);
    case '<f8':
      return new Float64Array(buffer);
    case '<f2':
      return Float32Array.from(new Uint16Array(buffer), halfToSingle);
    case '<i4':
      return new Int32Array(buffer);
    case '<i8':
      return new BigInt64Array(buffer);
    case '|u1':
    case '|b1':
      return new Uint8Array(buffer);
  }
}

function requireFinite(values: Float32Array | Float64Array, columns: number, path: string): void {
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  throw new MendsetError(
    'non-finite',
    `Expected finite numbers in '${path}' but row ${Math.floor(at / columns)}, column ${at % columns} is ${values[at]}: fix or drop that record.`,
  );
}

function requireLittleEndian(): void {
  if (endianness() !== 'LE')
    throw new MendsetError('unsupported', 'Expected a little-endian machine for .npy files but this one is big-endian.');
}
