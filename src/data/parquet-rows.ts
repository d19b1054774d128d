import { MendsetError } from '../core/errors.ts';
import { fileError } from '../core/files.ts';
import { throwIfAborted } from '../core/run-options.ts';
import { parquetCompressors } from './parquet-compressors.ts';

/** Most rows that are decoded at once */
const rowsAtOnce = 4096;

/** Streams the rows of a Parquet file as objects, numbers from 1; whole numbers of 64 bits become numbers. */
export async function forEachParquetRow(
  path: string,
  visit: (row: Readonly<Record<string, unknown>>, number: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  // Loaded here, so that those who read no Parquet pay nothing for it
  const parquet = await import('hyparquet');
  try {
    const file = await parquet.asyncBufferFromFile(path);
    const metadata = await parquet.parquetMetadataAsync(file);
    const compressors = await parquetCompressors(metadata, path);
    let start = 0;
    for (const group of metadata.row_groups) {
      const end = start + Number(group.num_rows);
      for (let rowStart = start; rowStart < end; rowStart += rowsAtOnce) {
        throwIfAborted(signal);
        const rowEnd = Math.min(end, rowStart + rowsAtOnce);
        const rows = await parquet.parquetReadObjects({ file, metadata, rowStart, rowEnd, ...(compressors ? { compressors } : {}) });
        for (const [i, row] of rows.entries()) visit(plain(row) as Record<string, unknown>, rowStart + i + 1);
      }
      start = end;
    }
  } catch (error) {
    if (error instanceof MendsetError) throw error;
    if ((error as NodeJS.ErrnoException).syscall !== undefined) throw fileError(error, path, 'read');
    throw new MendsetError('corrupt', `'${path}' could not be read as Parquet (${error instanceof Error ? error.message : error}).`, {
      cause: error,
    });
  }
}

/** JSON's types alone: Parquet has whole numbers of 64 bits, typed arrays and dates. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value);
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(plain);
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as Iterable<number | bigint>, Number);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]));
}
