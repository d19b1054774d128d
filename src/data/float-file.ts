import type { FileHandle } from 'node:fs/promises';
import { MendsetError } from '../core/errors.ts';
import { fileError } from '../core/files.ts';
import { mapFloats } from '../native/map-file.ts';
import type { EmbeddingSource } from './embedding-source.ts';
import { decodeFloats, FLOAT_BYTES, type FloatFormat } from './float-formats.ts';

/** Bytes that one read asks for at most. */
const READ_BYTES = 8 * 2 ** 20;

/** A row-major matrix of floats inside a file, from `offset` on. Closing the source closes the file. */
export function floatFileSource(
  file: FileHandle,
  path: string,
  shape: { readonly rows: number; readonly columns: number; readonly offset: number; readonly format: FloatFormat },
  name: string = path,
): EmbeddingSource {
  const { rows, columns, offset, format } = shape;
  const width = FLOAT_BYTES[format];
  return {
    name,
    rows,
    columns,
    blockRows: null,
    readBytes: (count) => (format === 'f32' ? 0 : Math.min(READ_BYTES, count * columns * width)),
    async read(first, target) {
      const start = offset + first * columns * width;
      try {
        if (format === 'f32') {
          await readFully(file, new Uint8Array(target.buffer, target.byteOffset, target.byteLength), start, path);
          return;
        }
        const perRead = READ_BYTES / width;
        const bytes = new Uint8Array(Math.min(target.length, perRead) * width);
        for (let at = 0; at < target.length; at += perRead) {
          const part = target.subarray(at, at + perRead);
          const wanted = bytes.subarray(0, part.length * width);
          await readFully(file, wanted, start + at * width, path);
          decodeFloats(format, wanted, part);
        }
      } catch (error) {
        throw fileError(error, path, 'read');
      }
    },
    map: () => (format === 'f32' && offset % 4 === 0 ? mapFloats(path, offset, rows * columns) : null),
    close: () => file.close(),
  };
}

async function readFully(file: FileHandle, target: Uint8Array, position: number, path: string): Promise<void> {
  for (let done = 0; done < target.length; ) {
    const { bytesRead } = await file.read(target, done, Math.min(target.length - done, READ_BYTES), position + done);
    if (bytesRead === 0)
      throw new MendsetError('corrupt', `Expected ${target.length} bytes at ${position} of '${path}' but it ended after ${done}.`);
    done += bytesRead;
  }
}
