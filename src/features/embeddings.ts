import { MendsetError } from '../core/errors.ts';
import { sha256File } from '../core/hash.ts';
import { type Matrix, matrix } from '../core/matrix.ts';
import type { RunOptions } from '../core/run-options.ts';
import { type NpyArray, readNpyMatrix } from '../data/npy.ts';
import type { PairRecord } from '../data/record.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { SentenceEncoder } from '../model/sentence-encoder.ts';
import type { Feature } from './feature.ts';
import { cachedFeature, type FeatureCache } from './feature-cache.ts';
import { forwardFlops } from './feature-flops.ts';
import { embeddingSequences, pairText } from './record-sequences.ts';

export interface EmbeddingOptions {
  /** Mean over tokens of its hidden state after the final norm */
  readonly model?: LanguageModel | undefined;
  /** A sentence encoder instead of the model */
  readonly encoder?: SentenceEncoder | undefined;
  /** Own embeddings instead: a .npy file or a matrix, one row for each record */
  readonly file?: string | undefined;
  readonly matrix?: Matrix | undefined;
  /** `pair` (default): prompt, chosen and rejected joined by line feeds; `raw-line`: the record's line (paper) */
  readonly text?: 'pair' | 'raw-line' | undefined;
  /** Rows of unit length; default true. Given embeddings are taken as they are. */
  readonly normalize?: boolean | undefined;
}

/** Embeddings of the records, [n, d] fp32. Embeddings of different encoders or texts are not comparable. */
export async function embeddingFeature(
  records: readonly PairRecord[],
  options: EmbeddingOptions,
  cache: FeatureCache | null,
  run: RunOptions,
): Promise<Feature<Matrix>> {
  const given = options.matrix ?? (options.file === undefined ? null : await readNpyMatrix(options.file));
  if (given) {
    if (given.rows !== records.length) {
      throw new MendsetError(
        'invalid-data',
        `Expected embeddings of ${records.length} records but ${options.file ?? 'the matrix'} has ${given.rows} rows: they must be in the pool's order, one row for each record.`,
      );
    }
    const sourceHash = options.file === undefined ? null : await sha256File(options.file);
    const nothing = { seconds: 0, flopsCounted: 0 };
    return {
      kind: 'embeddings',
      values: given,
      cost: nothing,
      incurred: nothing,
      cached: false,
      options: { source: 'given', sourceHash },
      warnings: zeroRows(given),
    };
  }
  const { model, encoder, text = 'pair', normalize = true } = options;
  if (encoder) return encoderFeature(encoder, records, text, cache, run);
  if (!model) {
    throw new MendsetError(
      'invalid-argument',
      'Expected a model or an encoder to embed the records with, or own embeddings (a .npy file): this selector needs embeddings.',
    );
  }
  return cachedFeature<Matrix>(
    cache,
    {
      kind: 'embeddings',
      sourceHash: model.hash,
      records,
      options: { source: 'model', pooling: 'mean', text, normalize, backend: model.summary.backend },
    },
    MATRIX_PACK,
    async () => {
      const sequences = embeddingSequences(model, records, text);
      const values = await model.embed(sequences, { ...run, normalize });
      requireFinite(values, records);
      return { values, flopsCounted: forwardFlops(model, sequences), warnings: zeroRows(values) };
    },
  );
}

const MATRIX_PACK = {
  toArray: (m: Matrix): { data: Float32Array; shape: number[] } => ({ data: m.data, shape: [m.rows, m.columns] }),
  fromArray: ({ data, shape }: NpyArray): Matrix => matrix(data as Float32Array, shape[0] as number, shape[1] as number),
};

/** Vectors of the records' texts by a sentence encoder, pooled and normalised as its folder says. */
async function encoderFeature(
  encoder: SentenceEncoder,
  records: readonly PairRecord[],
  text: 'pair' | 'raw-line',
  cache: FeatureCache | null,
  run: RunOptions,
): Promise<Feature<Matrix>> {
  const without = text === 'pair' ? records.find((record) => record.chosenIds !== undefined) : undefined;
  if (without) {
    throw new MendsetError(
      'invalid-data',
      `Expected texts for the encoder but record ${without.id} (${without.source}) has token ids of another model alone; give texts, or embed with the model.`,
    );
  }
  const { pooling, normalize } = encoder.model.config;
  const { backend, parameters } = encoder.model.summary;
  return cachedFeature<Matrix>(
    cache,
    {
      kind: 'embeddings',
      sourceHash: encoder.hash,
      records,
      options: { source: 'encoder', pooling, text, normalize, maxTokens: encoder.model.maxTokens, backend },
    },
    MATRIX_PACK,
    async () => {
      const { embeddings, tokens } = await encoder.embedCounted(
        records.map((record) => (text === 'raw-line' ? record.raw : pairText(record))),
        run,
      );
      requireFinite(embeddings, records);
      return { values: embeddings, flopsCounted: 2 * parameters * tokens, warnings: zeroRows(embeddings) };
    },
  );
}

function requireFinite(values: Matrix, records: readonly PairRecord[]): void {
  const at = values.data.findIndex((v) => !Number.isFinite(v));
  if (at < 0) return;
  const record = records[Math.floor(at / values.columns)];
  throw new MendsetError(
    'non-finite',
    `Expected finite embeddings but record ${record?.id} (${record?.source}) has ${values.data[at]}: the model's weights may be damaged.`,
  );
}

function zeroRows({ data, rows, columns }: Matrix): string[] {
  let zero = 0;
  for (let i = 0; i < rows; i++) {
    if (data.subarray(i * columns, (i + 1) * columns).every((v) => v === 0)) zero++;
  }
  return zero === 0 ? [] : [`${zero} of ${rows} embeddings are all zero.`];
}
