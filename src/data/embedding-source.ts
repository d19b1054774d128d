/** Embeddings that are read in blocks of rows: a file, or anything else of known size. */
export interface EmbeddingSource {
  /** For messages: the path, with the tensor or column */
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  /** Bytes that reading takes beside the block itself, for a block of so many rows */
  readBytes(rows: number): number;
  /** Rows at which blocks should begin and end where the format has such; else null */
  readonly blockRows: number | null;
  /** Fills `target` (a whole number of rows) with the rows from `first` on */
  read(first: number, target: Float32Array): Promise<void>;
  /** The whole matrix as memory in its file, where the format allows that; else null */
  map?(): Float32Array | null;
  close(): Promise<void>;
}
