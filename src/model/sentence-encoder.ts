import { join } from 'node:path';

import { MendsetError } from '../core/errors.ts';
import { sha256Hex } from '../core/hash.ts';
import { type Matrix, matrix } from '../core/matrix.ts';
import type { RunOptions } from '../core/run-options.ts';
import { modelFolder } from '../data/hub/model-folder.ts';
import { loadTokenizer } from '../tokenizer/load.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { EncoderModel } from './encoder-model.ts';
import { readJsonFile } from './json-file.ts';
import { encodeTexts } from './length-order.ts';
import type { LoadOptions } from './load-weights.ts';

/**
 * A sentence encoder with its tokenizer: texts to vectors, as sentence-transformers makes them. Texts are cut at the folder's
 * `max_seq_length` (256 word pieces in all-MiniLM-L6-v2, special tokens counted), pooled and normalised as its modules say.
 *
 * @example
 * using encoder = await SentenceEncoder.load('hf:sentence-transformers/all-MiniLM-L6-v2');
 * const embeddings = await encoder.embed(['a text', 'another']); // [2, 384]
 */
export class SentenceEncoder {
  readonly model: EncoderModel;
  readonly tokenizer: Tokenizer;
  /** SHA-256 over all that decides a vector: weights, tokenizer, pooling, normalisation, length and case. */
  readonly hash: string;
  readonly #lowerCase: boolean;

  private constructor(model: EncoderModel, tokenizer: Tokenizer, lowerCase: boolean) {
    this.model = model;
    this.tokenizer = tokenizer;
    this.#lowerCase = lowerCase;
    const { pooling, normalize } = model.config;
    this.hash = sha256Hex([model.hash, tokenizer.hash, JSON.stringify([pooling, normalize, model.maxTokens, lowerCase])]);
  }

  /**
   * Reads a folder, or `hf:owner/name[@revision]`. Rejects as `EncoderModel.load` and `loadTokenizer` do, and with `unsupported` for an
   * encoder that puts a prompt before every text.
   */
  static async load(path: string, options: LoadOptions = {}): Promise<SentenceEncoder> {
    const directory = await modelFolder(path, options);
    const model = await EncoderModel.load(directory, options);
    try {
      const weights = join(directory, model.config.weightsPath);
      const tokenizer = await loadTokenizer(weights);
      if (tokenizer.vocabularySize > model.summary.vocab) {
        throw new MendsetError(
          'invalid-data',
          `Expected a tokenizer of at most ${model.summary.vocab} tokens for the encoder in ${directory} but its tokenizer has ${tokenizer.vocabularySize}: the two do not belong together.`,
        );
      }
      const settings = await readObject(join(directory, 'config_sentence_transformers.json'));
      if (typeof settings['default_prompt_name'] === 'string') {
        throw new MendsetError(
          'unsupported',
          `Expected an encoder of plain texts but the one in ${directory} puts its prompt '${settings['default_prompt_name']}' before each, which is not supported.`,
        );
      }
      const lowerCase = (await readObject(join(weights, 'sentence_bert_config.json')))['do_lower_case'] === true;
      return new SentenceEncoder(model, tokenizer, lowerCase);
    } catch (error) {
      model.dispose();
      throw error;
    }
  }

  /** Floats of one vector. */
  get width(): number {
    return this.model.summary.width;
  }

  /** One row for each text, in order; texts of like length are computed together, which changes no value. */
  async embed(texts: readonly string[], options: RunOptions = {}): Promise<Matrix> {
    return (await this.embedCounted(texts, options)).embeddings;
  }

  /** @internal the vectors, and the tokens that were read for them */
  async embedCounted(texts: readonly string[], options: RunOptions = {}): Promise<{ embeddings: Matrix; tokens: number }> {
    const cased = this.#lowerCase ? texts.map((text) => text.toLowerCase()) : texts;
    const { sequences, order } = encodeTexts(this.tokenizer, cased, this.model.maxTokens);
    const sorted = await this.model.embed(sequences, options);
    const { width } = this;
    const data = new Float32Array(sorted.data.length);
    order.forEach((text, i) => {
      data.set(sorted.data.subarray(i * width, (i + 1) * width), text * width);
    });
    return { embeddings: matrix(data, texts.length, width), tokens: sequences.reduce((sum, ids) => sum + ids.length, 0) };
  }

  /** Releases the native memory. Idempotent. */
  dispose(): void {
    this.model.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Whether a folder holds an encoder rather than a causal language model, by its modules or its configuration. */
export async function isEncoderFolder(directory: string): Promise<boolean> {
  if ((await readJsonFile(join(directory, 'modules.json'), { optional: true })) !== null) return true;
  const config = await readObject(join(directory, 'config.json'));
  const [architecture] = Array.isArray(config['architectures']) ? (config['architectures'] as unknown[]) : [];
  if (typeof architecture === 'string') return !/(CausalLM|LMHeadModel)$/.test(architecture);
  return /bert/.test(String(config['model_type']));
}

async function readObject(path: string): Promise<Readonly<Record<string, unknown>>> {
  const json = await readJsonFile(path, { optional: true });
  return typeof json === 'object' && json !== null ? (json as Readonly<Record<string, unknown>>) : {};
}
