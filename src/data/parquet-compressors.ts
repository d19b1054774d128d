import * as zlib from 'node:zlib';
import type { CompressionCodec, Compressors, FileMetaData } from 'hyparquet';

import { MendsetError } from '../core/errors.ts';

type Decompress = (input: Uint8Array, outputLength: number) => Uint8Array;

// Node has it from 22.15 on
const zstd = (zlib as { zstdDecompressSync?: Decompress }).zstdDecompressSync;

const own: Partial<Record<CompressionCodec, Decompress>> = {
  GZIP: (input) => zlib.gunzipSync(input),
  BROTLI: (input) => zlib.brotliDecompressSync(input),
  ...(zstd ? { ZSTD: (input) => zstd(input, 0) } : {}),
};

/** hyparquet reads these itself */
const builtIn: ReadonlySet<string> = new Set(['UNCOMPRESSED', 'SNAPPY']);

/**
 * Decompressors for the codecs that a Parquet file uses: GZIP, BROTLI and, from Node 22.15, ZSTD are Node's own; the others come from the
 * optional package `hyparquet-compressors`. null where none is needed. Throws `unsupported` with what to install.
 */
export async function parquetCompressors(metadata: FileMetaData, path: string): Promise<Compressors | null> {
  const codecs = new Set(metadata.row_groups.flatMap((group) => group.columns.flatMap((column) => column.meta_data?.codec ?? [])));
  for (const codec of builtIn) codecs.delete(codec as CompressionCodec);
  if (codecs.size === 0) return null;
  const missing = [...codecs].filter((codec) => own[codec] === undefined);
  if (missing.length === 0) return own;
  const name = 'hyparquet-compressors';
  try {
    const { compressors } = (await import(name)) as { compressors: Compressors };
    return { ...compressors, ...own };
  } catch (error) {
    throw new MendsetError(
      'unsupported',
      `'${path}' is compressed with ${missing.join(' and ')}, which needs the package ${name}: install it (npm install ${name})${
        missing.join() === 'ZSTD' ? ', or use Node 22.15 or later' : ''
      }.`,
      { cause: error },
    );
  }
}
