import { join } from 'node:path';
import { MendsetError } from '../core/errors.ts';
import { type Matrix, matrix } from '../core/matrix.ts';
import type { RunOptions } from '../core/run-options.ts';
import { modelFolder } from '../data/hub/model-folder.ts';
import { addon } from '../native/addon.ts';
import type { NativeModel, NativeModelSummary } from '../native/binding.ts';
import { callNative } from '../native/native-error.ts';
import { runTask } from '../native/run-task.ts';
import { batchesOfIds, packIds } from './id-batches.ts';
import { readJsonFile } from './json-file.ts';
import { type LoadOptions, loadWeights } from './load-weights.ts';

export interface ClassifierConfig {
  /** In the order of the columns */
  readonly labels: readonly string[];
  readonly problemType: 'single_label_classification' | 'multi_label_classification' | null;
  /** What turns logits into scores: sigmoid for several independent labels or a single one, else softmax, as transformers decides */
  readonly activation: 'sigmoid' | 'softmax';
}

/**
 * A BERT, RoBERTa or XLM-RoBERTa sequence classifier, such as toxic-bert, unbiased-toxic-roberta and roberta_toxicity_classifier.
 *
 * @example
 * using classifier = await SequenceClassifier.load('toxic-bert');
 * const scores = await classifier.scores([[101, 2017, 102]]); // [1, 6]; classifier.config.labels names the columns
 */
export class SequenceClassifier {
  readonly directory: string;
  readonly summary: NativeModelSummary;
  readonly config: ClassifierConfig;
  /** SHA-256 over config and weight files. */
  readonly hash: string;
  readonly #handle: NativeModel;

  private constructor(directory: string, handle: NativeModel, config: ClassifierConfig, hash: string) {
    this.directory = directory;
    this.#handle = handle;
    this.summary = callNative(() => handle.summary());
    this.config = config;
    this.hash = hash;
  }

  /** Rejects with `not-found`, `corrupt` (among them a checkpoint without a classifier), or `unsupported`. */
  static async load(path: string, options: LoadOptions = {}): Promise<SequenceClassifier> {
    const directory = await modelFolder(path, options);
    const { handle, hash } = await loadWeights(directory, options, (backend, threads) =>
      addon().loadEncoderTask(directory, true, backend, threads),
    );
    try {
      const config = await readClassifierConfig(directory, handle.summary().labels);
      return new SequenceClassifier(directory, handle, config, hash);
    } catch (error) {
      handle.dispose();
      throw error;
    }
  }

  /** Most tokens of one text, special tokens included. */
  get maxTokens(): number {
    return this.summary.context;
  }

  /** [sequences, labels] before sigmoid or softmax. Sequences are token ids with their special tokens. */
  async logits(sequences: readonly ArrayLike<number>[], options: RunOptions = {}): Promise<Matrix> {
    const columns = this.summary.labels;
    const data = new Float32Array(sequences.length * columns);
    for (const { first, part } of batchesOfIds(sequences)) {
      const logits = data.subarray(first * columns, (first + part.length) * columns);
      const task = callNative(() => addon().encodeTask(this.#handle, packIds(part), { logits }));
      await runTask(task, 'classification', { signal: options.signal });
      options.onProgress?.({ phase: 'classification', done: first + part.length, total: sequences.length });
    }
    return matrix(data, sequences.length, columns);
  }

  /** [sequences, labels] in 0 .. 1: sigmoid or softmax of the logits, as `config.activation` says. */
  async scores(sequences: readonly ArrayLike<number>[], options: RunOptions = {}): Promise<Matrix> {
    const logits = await this.logits(sequences, options);
    for (let i = 0; i < logits.rows; i++) {
      const row = logits.data.subarray(i * logits.columns, (i + 1) * logits.columns);
      if (this.config.activation === 'sigmoid') sigmoid(row);
      else softmax(row);
    }
    return logits;
  }

  /** Releases the native memory. Idempotent. */
  dispose(): void {
    this.#handle.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function sigmoid(row: Float32Array): void {
  row.forEach((z, j) => {
    row[j] = 1 / (1 + Math.exp(-z));
  });
}

function softmax(row: Float32Array): void {
  const largest = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  let sum = 0;
  for (const z of row) sum += Math.exp(z - largest);
  row.forEach((z, j) => {
    row[j] = Math.exp(z - largest) / sum;
  });
}

async function readClassifierConfig(directory: string, count: number): Promise<ClassifierConfig> {
  const path = join(directory, 'config.json');
  const config = (await readJsonFile(path)) as { id2label?: Record<string, unknown> | null; problem_type?: unknown };
  const labels = Array.from({ length: count }, (_, i) => {
    const label = config.id2label ? config.id2label[i] : `LABEL_${i}`;
    if (typeof label === 'string') return label;
    throw new MendsetError('corrupt', `Expected id2label of ${path} to name the labels 0 to ${count - 1} but ${i} is missing.`);
  });
  const problemType = config.problem_type ?? null;
  if (problemType !== null && problemType !== 'single_label_classification' && problemType !== 'multi_label_classification') {
    throw new MendsetError(
      'unsupported',
      `${path}: problem_type is ${JSON.stringify(problemType)}; supported are single_label_classification, multi_label_classification and none.`,
    );
  }
  const independent = problemType === 'multi_label_classification' || count === 1;
  return { labels, problemType, activation: independent ? 'sigmoid' : 'softmax' };
}
