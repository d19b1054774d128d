/** The native functions of encoders: sentence embeddings and sequence classification. */
import type { NativeModel, NativeTask, PackedBatch } from './binding.ts';

/** Over a sequence's tokens; the names of sentence-transformers. */
export type NativePooling = 'mean' | 'cls' | 'lasttoken';

export interface NativeEncoderOutputs {
  /** [tokens, width] */
  hidden?: Float32Array;
  /** [samples, width]; needs `pooling` and `normalize` */
  pooled?: Float32Array;
  pooling?: NativePooling;
  /** pooled rows are divided by their length */
  normalize?: boolean;
  /** [samples, labels], of a classifier */
  logits?: Float32Array;
}

export interface NativeEncoding {
  loadEncoderTask(directory: string, withClassifier: boolean, backend: string, threads: number): NativeTask & { result(): NativeModel };
  /** ids alone: an encoder's batch has no mask and no positions */
  encodeTask(model: NativeModel, batch: PackedBatch, outputs: NativeEncoderOutputs): NativeTask;
}
