import { MendsetError } from '../core/errors.ts';
import { fileError } from '../core/files.ts';
import { didYouMean } from '../core/nearest-name.ts';
import type { EmbeddingSource } from './embedding-source.ts';
import { parquetCompressors } from './parquet-compressors.ts';

/** Bytes of a decoded number in a list of JavaScript numbers, with the list's own share. */
const DECODED_BYTES = 24;

/** A column of lists of floats, all of one length; the file's only list column when none is named. One row group is decoded at a time. */
export async function parquetSource(path: string, column: string | undefined): Promise<EmbeddingSource> {
  // Loaded here, so that those who read no Parquet pay nothing for it.
  const parquet = await import('hyparquet');
  const attempt = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      if (error instanceof MendsetError || (error as NodeJS.ErrnoException).syscall !== undefined) throw fileError(error, path, 'read');
      throw new MendsetError('corrupt', `'${path}' could not be read as Parquet (${error instanceof Error ? error.message : error}).`, {
        cause: error,
      });
    }
  };
  const file = await attempt(() => parquet.asyncBufferFromFile(path));
  const metadata = await attempt(() => parquet.parquetMetadataAsync(file));
  const compressors = await parquetCompressors(metadata, path);
  const fields = parquet.parquetSchema(metadata).children;
  const names = fields.map((field) => field.element.name);
  const lists = fields.filter((field) => field.children.length > 0 || field.element.repetition_type === 'REPEATED');
  const name = column ?? (lists.length === 1 ? lists[0]?.element.name : undefined);
  if (name === undefined) {
    throw new MendsetError(
      'invalid-argument',
      `Expected the name of a column, '${path}#NAME', because the file has ${lists.length} columns of lists (columns: ${names.join(', ')}).`,
    );
  }
  if (!names.includes(name))
    throw new MendsetError(
      'not-found',
      `Expected the column "${name}" in '${path}' but it has ${names.join(', ')}.${didYouMean(name, names)}`,
    );

  const starts: number[] = [0];
  for (const group of metadata.row_groups) starts.push((starts.at(-1) as number) + Number(group.num_rows));
  const rows = starts.at(-1) as number;
  const largest = metadata.row_groups.reduce((most, group) => Math.max(most, Number(group.num_rows)), 0);
  const cells = (rowStart: number, rowEnd: number): Promise<unknown[]> =>
    attempt(async () => {
      const read: unknown[] = [];
      await parquet.parquetRead({
        file,
        metadata,
        ...(compressors ? { compressors } : {}),
        columns: [name],
        rowStart,
        rowEnd,
        onComplete: (part: unknown[][]) => {
          for (const cell of part) read.push(cell[0]);
        },
      });
      return read;
    });
  const columns = rows === 0 ? 0 : lengthOf((await cells(0, 1))[0]);
  if (columns === null)
    throw new MendsetError('invalid-data', `Expected lists of numbers in column "${name}" of '${path}' but the first row has none.`);

  return {
    name: `${path}#${name}`,
    rows,
    columns,
    blockRows: largest,
    readBytes: () => largest * columns * DECODED_BYTES,
    async read(first, target) {
      const end = first + target.length / columns;
      for (const [group, start] of starts.slice(0, -1).entries()) {
        const [from, to] = [Math.max(start, first), Math.min(starts[group + 1] as number, end)];
        if (from >= to) continue;
        for (const [at, cell] of (await cells(from, to)).entries()) {
          if (lengthOf(cell) !== columns) {
            throw new MendsetError(
              'invalid-data',
              `Expected ${columns} numbers in every row of column "${name}" of '${path}' but row ${from + at} has ${lengthOf(cell) ?? 'none'}.`,
            );
          }
          target.set(cell as ArrayLike<number>, (from + at - first) * columns);
        }
      }
    },
    close: async () => {},
  };
}

function lengthOf(cell: unknown): number | null {
  if (ArrayBuffer.isView(cell) && !(cell instanceof DataView)) return (cell as Float32Array).length;
  return Array.isArray(cell) && cell.every((value) => typeof value === 'number') ? cell.length : null;
}
