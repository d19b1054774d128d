import { join } from 'node:path';
import { type Matrix, matrix } from '../core/matrix.ts';
import type { RunOptions } from '../core/run-options.ts';
import { modelFolder } from '../data/hub/model-folder.ts';
import { addon } from '../native/addon.ts';
import type { NativeModel, NativeModelSummary } from '../native/binding.ts';
import { callNative } from '../native/native-error.ts';
import { runTask } from '../native/run-task.ts';
import { batchesOfIds, packIds } from './id-batches.ts';
import { type LoadOptions, loadWeights } from './load-weights.ts';
import { type Pooling, readSentenceConfig, type SentenceConfig } from './sentence-config.ts';

export interface EmbedOptions extends RunOptions {
  /** Default: what the folder's pooling module says, else `mean` */
  readonly pooling?: Pooling;
  /** Divide by the length. Default: whether the folder has a Normalize module */
  readonly normalize?: boolean;
}

/**
 * A sentence encoder: BERT, RoBERTa or XLM-RoBERTa as MiniLM and its like are published, with sentence-transformers' modules or without.
 *
 * @example
 * using encoder = await EncoderModel.load('all-MiniLM-L6-v2');
 * const embeddings = await encoder.embed([[101, 7592, 2088, 102]]); // [1, 384], ids with their special tokens
 */
export class EncoderModel {
  readonly directory: string;
  readonly summary: NativeModelSummary;
  /** Pooling, normalisation and length limit as the folder states them. */
  readonly config: SentenceConfig;
  /** SHA-256 over config and weight files. */
  readonly hash: string;
  readonly #handle: NativeModel;

  private constructor(directory: string, handle: NativeModel, config: SentenceConfig, hash: string) {
    this.directory = directory;
    this.#handle = handle;
    this.summary = callNative(() => handle.summary());
    this.config = config;
    this.hash = hash;
  }

  /**
   * Reads config.json, the weights, and of a sentence-transformers folder modules.json and its pooling module. Heads that the
   * checkpoint has besides (pooler, masked language model, classifier) are left out.
   *
   * Rejects with `not-found`, `corrupt`, or `unsupported` for other architectures and modules.
   */
  static async load(path: string, options: LoadOptions = {}): Promise<EncoderModel> {
    const directory = await modelFolder(path, options);
    const config = await readSentenceConfig(directory);
    const weights = join(directory, config.weightsPath);
    const { handle, hash } = await loadWeights(weights, options, (backend, threads) =>
      addon().loadEncoderTask(weights, false, backend, threads),
    );
    return new EncoderModel(directory, handle, config, hash);
  }

  /** Most tokens of one text, special tokens included. */
  get maxTokens(): number {
    return Math.min(this.config.maxTokens ?? this.summary.context, this.summary.context);
  }

  /**
   * One row [width] for each sequence of token ids (with its special tokens, at most `maxTokens`).
   * Rejects with `invalid-argument` for empty or too long sequences and unknown ids.
   */
  async embed(sequences: readonly ArrayLike<number>[], options: EmbedOptions = {}): Promise<Matrix> {
    const { width } = this.summary;
    const data = new Float32Array(sequences.length * width);
    for (const { first, part } of batchesOfIds(sequences)) {
      const pooled = data.subarray(first * width, (first + part.length) * width);
      const pooling = options.pooling ?? this.config.pooling;
      const normalize = options.normalize ?? this.config.normalize;
      const task = callNative(() => addon().encodeTask(this.#handle, packIds(part), { pooled, pooling, normalize }));
      await runTask(task, 'embedding', { signal: options.signal });
      options.onProgress?.({ phase: 'embedding', done: first + part.length, total: sequences.length });
    }
    return matrix(data, sequences.length, width);
  }

  /** Releases the native memory. Idempotent. */
  dispose(): void {
    this.#handle.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
