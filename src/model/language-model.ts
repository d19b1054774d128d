import { MendsetError } from '../core/errors.ts';
import { type Matrix, matrix } from '../core/matrix.ts';
import type { RunOptions } from '../core/run-options.ts';
import { modelFolder } from '../data/hub/model-folder.ts';
import { addon } from '../native/addon.ts';
import type { NativeModel, NativeModelSummary, NativeTensorInfo, PackedBatch } from '../native/binding.ts';
import { resolveBackend } from '../native/engine-info.ts';
import { callNative } from '../native/native-error.ts';
import { runTask } from '../native/run-task.ts';
import { loadTokenizer } from '../tokenizer/load.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { type BackendName, type LanguageModelOptions, loadWeights } from './load-weights.ts';
import { type SaveOptions, saveCheckpoint } from './save.ts';
import { batchesByTokens, pack, type TokenSequence } from './sequences.ts';
import { sequenceScores, type TokenScores, tokenOutputs } from './token-scores.ts';

export interface GradientNorms {
  /** Square root of the sum of all tensors' squares */
  readonly global: Float64Array;
  /** Sum over stored tensors of their norms (the paper's score) */
  readonly sumOfTensorNorms: Float64Array;
}

/** Gradient norms and what `score` says of the same sequences. */
export interface ScoredGradientNorms extends GradientNorms {
  readonly scores: readonly TokenScores[];
}

export interface GradientNormRunOptions extends RunOptions {
  /** The loss is the mean (default) or the sum of the scored tokens' cross-entropy */
  readonly reduction?: 'tokenMean' | 'tokenSum';
  /** One block's parameters instead of all */
  readonly block?: number;
  /** The scores too, from the same pass and on the processor with the bits of `score`; default false */
  readonly scores?: boolean;
}

export interface GenerateOptions extends RunOptions {
  readonly maxNewTokens?: number;
  readonly greedy?: boolean;
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly seed?: number;
  /** Continuations of each prompt; their random streams do not depend on batching. Default 1. */
  readonly samples?: number;
  /** Number of the first prompt, for calls that split a list. Default 0. */
  readonly firstPrompt?: number;
}

export interface Completion {
  /** Generated ids only, without the end-of-text token */
  readonly ids: Int32Array;
  readonly stopped: boolean;
}

/** Most tokens of one native batch: bounds activations, and keeps a step short. */
const BATCH_TOKENS = 4096;

/**
 * A causal language model on a backend, with its tokenizer when the folder has one.
 *
 * @example
 * using model = await LanguageModel.load('gpt2', { backend: 'cpu' });
 * const [text] = await model.generate([model.requireTokenizer().encode('Once upon', { specials: 'before' })], { maxNewTokens: 20, greedy: true });
 */
export class LanguageModel {
  readonly directory: string | null;
  readonly summary: NativeModelSummary;
  /** null for folders without tokenizer files: such a model works on ids only. */
  readonly tokenizer: Tokenizer | null;
  /** Identity of the weights as loaded: SHA-256 over config and weight files; null after training or for fresh weights. */
  get hash(): string | null {
    return this.#hash;
  }
  /** @internal the weights on their backend; every call on them goes through this class, `Trainer` and `saveCheckpoint` */
  readonly handle: NativeModel;
  #hash: string | null;
  #tensors: NativeTensorInfo[] | undefined;

  private constructor(directory: string | null, handle: NativeModel, tokenizer: Tokenizer | null, hash: string | null) {
    this.directory = directory;
    this.handle = handle;
    this.summary = callNative(() => handle.summary());
    this.tokenizer = tokenizer;
    this.#hash = hash;
  }

  /**
   * Reads config.json, model.safetensors (or its shards) and the tokenizer of a folder, or of `hf:owner/name[@revision]`, which is fetched
   * into the cache of the Hugging Face Hub first.
   * Rejects with `not-found`, `corrupt`, `unsupported` or `invalid-data` (tokenizer larger than the model's vocabulary).
   */
  static async load(path: string, options: LanguageModelOptions = {}): Promise<LanguageModel> {
    const directory = await modelFolder(path, options);
    const tokenizer = await loadTokenizer(directory, { optional: true });
    const asStored = options.weights === 'stored';
    const { handle, hash } = await loadWeights(directory, options, (backend, threads) =>
      addon().loadModelTask(directory, backend, threads, asStored),
    );
    const summary = handle.summary();
    if (tokenizer && tokenizer.vocabularySize > summary.vocab) {
      handle.dispose();
      throw new MendsetError(
        'invalid-data',
        `Expected a tokenizer of at most ${summary.vocab} tokens for the model in ${directory} but its tokenizer has ${tokenizer.vocabularySize}: the two do not belong together.`,
      );
    }
    return new LanguageModel(directory, handle, tokenizer, hash);
  }

  /** A model with freshly drawn weights (N(0, 0.02), residual projections scaled down by the square root of 2 L). */
  static create(
    config: Record<string, unknown>,
    options: { seed?: number; backend?: BackendName; threads?: number; tokenizer?: Tokenizer } = {},
  ): LanguageModel {
    const backend = resolveBackend(options.backend ?? 'auto');
    const handle = callNative(() => addon().createModel(JSON.stringify(config), BigInt(options.seed ?? 0), backend, options.threads ?? 0));
    return new LanguageModel(null, handle, options.tokenizer ?? null, null);
  }

  /** The weights are no longer those that were loaded: what is cached under their hash must not be used for them. */
  weightsChanged(): void {
    this.#hash = null;
  }

  /** @internal the weights of a model of the same shape, held as they are there */
  takeWeights(from: LanguageModel): void {
    callNative(() => this.handle.takeWeights(from.handle));
    this.weightsChanged();
  }

  get tensors(): readonly NativeTensorInfo[] {
    this.#tensors ??= callNative(() => this.handle.tensors());
    return this.#tensors;
  }

  requireTokenizer(): Tokenizer {
    if (this.tokenizer) return this.tokenizer;
    throw new MendsetError(
      'invalid-data',
      `Expected tokenizer.json (or vocab.json and merges.txt) in ${this.directory ?? 'the model'}: without it only pre-tokenised input (prompt_ids, completion_ids) can be used.`,
    );
  }

  /** An independent copy of the weights, e.g. as the frozen reference of KL and DPO. */
  copy(): LanguageModel {
    return new LanguageModel(
      this.directory,
      callNative(() => this.handle.copy()),
      this.tokenizer,
      this.hash,
    );
  }

  /** Logits produced at each position: one [length, vocab] matrix for each sequence. For small inputs. */
  async logits(sequences: readonly TokenSequence[], options: RunOptions = {}): Promise<Matrix[]> {
    const batch = pack(sequences);
    const { vocab } = this.summary;
    const logits = new Float32Array(batch.ids.length * vocab);
    await this.#score(batch, { logits }, 'logits', options);
    return sequences.map((s, i) => {
      const begin = batch.offsets[i] as number;
      return matrix(logits.subarray(begin * vocab, (begin + s.ids.length) * vocab), s.ids.length, vocab);
    });
  }

  /** log p(id | before) of every token; 0 where the mask is 0. One array for each sequence. */
  async logProbs(sequences: readonly TokenSequence[], options: RunOptions = {}): Promise<Float64Array[]> {
    const out: Float64Array[] = [];
    for (const part of batchesByTokens(sequences, BATCH_TOKENS)) {
      const batch = pack(part.map((i) => sequences[i] as TokenSequence));
      const logProb = new Float64Array(batch.ids.length);
      await this.#score(batch, { logProb }, 'log-probabilities', options);
      part.forEach((_, i) => {
        out.push(logProb.slice(batch.offsets[i], batch.offsets[i + 1]));
      });
      options.onProgress?.({ phase: 'log-probabilities', done: out.length, total: sequences.length });
    }
    return out;
  }

  /** Loss, EL2N, margin and greedy agreement of each sequence's scored tokens. */
  async score(sequences: readonly TokenSequence[], options: RunOptions = {}): Promise<TokenScores[]> {
    const out: TokenScores[] = [];
    for (const part of batchesByTokens(sequences, BATCH_TOKENS)) {
      const batch = pack(part.map((i) => sequences[i] as TokenSequence));
      const outputs = tokenOutputs(batch);
      await this.#score(batch, outputs, 'scores', options);
      out.push(...sequenceScores(batch, outputs));
      options.onProgress?.({ phase: 'scores', done: out.length, total: sequences.length });
    }
    return out;
  }

  /** Mean over tokens of the hidden state after the final norm, [sequences, width], of unit length unless told otherwise. */
  async embed(sequences: readonly TokenSequence[], options: RunOptions & { normalize?: boolean } = {}): Promise<Matrix> {
    const { width } = this.summary;
    const data = new Float32Array(sequences.length * width);
    let done = 0;
    for (const part of batchesByTokens(sequences, BATCH_TOKENS)) {
      const batch = pack(part.map((i) => sequences[i] as TokenSequence));
      const embedding = data.subarray(done * width, (done + part.length) * width);
      await this.#score(batch, { embedding, normalizeEmbedding: options.normalize ?? true }, 'embedding', options);
      done += part.length;
      options.onProgress?.({ phase: 'embedding', done, total: sequences.length });
    }
    return matrix(data, sequences.length, width);
  }

  /** Hidden states after the final norm of every token, packed: [tokens, width]. */
  async hidden(sequences: readonly TokenSequence[], options: RunOptions = {}): Promise<Float32Array> {
    const { width } = this.summary;
    const total = sequences.reduce((sum, s) => sum + s.ids.length, 0);
    const data = new Float32Array(total * width);
    let done = 0;
    for (const part of batchesByTokens(sequences, BATCH_TOKENS)) {
      const batch = pack(part.map((i) => sequences[i] as TokenSequence));
      const hidden = data.subarray(done * width, (done + batch.ids.length) * width);
      await this.#score(batch, { hidden }, 'hidden states', options);
      done += batch.ids.length;
      options.onProgress?.({ phase: 'hidden states', done, total });
    }
    return data;
  }

  /**
   * Exact norms of each sequence's own loss gradient over all parameters (or one block's), the tied embedding included; with
   * `scores` also what `score` says of the sequences, from the same pass.
   *
   * @example
   * const { global, scores } = await model.gradientNorms(sequences, { scores: true });
   */
  async gradientNorms(
    sequences: readonly TokenSequence[],
    options: GradientNormRunOptions & { scores: true },
  ): Promise<ScoredGradientNorms>;
  async gradientNorms(sequences: readonly TokenSequence[], options?: GradientNormRunOptions): Promise<GradientNorms>;
  async gradientNorms(
    sequences: readonly TokenSequence[],
    options: GradientNormRunOptions = {},
  ): Promise<GradientNorms | ScoredGradientNorms> {
    const global = new Float64Array(sequences.length);
    const sumOfTensorNorms = new Float64Array(sequences.length);
    const scores: TokenScores[] | null = options.scores ? [] : null;
    const p = this.tensors.length;
    let done = 0;
    for (const part of batchesByTokens(sequences, BATCH_TOKENS / 4)) {
      const batch = pack(part.map((i) => sequences[i] as TokenSequence));
      const squares = new Float64Array(part.length * p);
      const outputs = scores ? tokenOutputs(batch) : undefined;
      const task = callNative(() =>
        addon().gradientNormTask(this.handle, batch, options.reduction !== 'tokenSum', options.block ?? -1, squares, outputs),
      );
      await runTask(task, 'gradient norms', { signal: options.signal });
      if (outputs) scores?.push(...sequenceScores(batch, outputs));
      for (let i = 0; i < part.length; i++) {
        let sum = 0;
        let norms = 0;
        for (let j = 0; j < p; j++) {
          const square = Math.max(0, squares[i * p + j] as number);
          sum += square;
          norms += Math.sqrt(square);
        }
        global[done + i] = Math.sqrt(sum);
        sumOfTensorNorms[done + i] = norms;
      }
      done += part.length;
      options.onProgress?.({ phase: 'gradient norms', done, total: sequences.length });
    }
    return scores ? { global, sumOfTensorNorms, scores } : { global, sumOfTensorNorms };
  }

  /**
   * Continues each prompt (token ids). Result order: prompt-major, `samples` entries for each prompt. Prompts longer than the
   * context minus `maxNewTokens` lose their start.
   */
  async generate(prompts: readonly ArrayLike<number>[], options: GenerateOptions = {}): Promise<Completion[]> {
    const maxNewTokens = options.maxNewTokens ?? 20;
    const samples = options.samples ?? 1;
    const { context, eos } = this.summary;
    if (maxNewTokens < 1 || maxNewTokens >= context) {
      throw new MendsetError(
        'invalid-argument',
        `Expected maxNewTokens between 1 and ${context - 1} (the model's context is ${context}) but received ${maxNewTokens}.`,
      );
    }
    const rows: { ids: Int32Array; sub: number }[] = [];
    prompts.forEach((prompt, p) => {
      if (prompt.length === 0 && eos < 0)
        throw new MendsetError(
          'invalid-data',
          `Expected prompt ${p} to have at least one token, because the model has no end-of-text token to start from.`,
        );
      const keep = Math.min(prompt.length, context - maxNewTokens);
      const ids =
        prompt.length === 0 ? Int32Array.of(eos) : Int32Array.from({ length: keep }, (_, i) => prompt[prompt.length - keep + i] as number);
      for (let s = 0; s < samples; s++) rows.push({ ids, sub: 1024 * ((options.firstPrompt ?? 0) + p) + s });
    });
    const out: Completion[] = [];
    const GENERATE_ROWS = 256;
    for (let begin = 0; begin < rows.length; begin += GENERATE_ROWS) {
      const part = rows.slice(begin, begin + GENERATE_ROWS);
      const batch = pack(part.map((r) => ({ ids: r.ids, mask: new Uint8Array(r.ids.length) })));
      const ids = new Int32Array(part.length * maxNewTokens);
      const lengths = new Int32Array(part.length);
      const stopped = new Uint8Array(part.length);
      const task = callNative(() =>
        addon().generateTask(
          this.handle,
          batch,
          {
            maxNewTokens,
            greedy: options.greedy ?? false,
            temperature: options.temperature ?? 1,
            topP: options.topP ?? 1,
            topK: options.topK ?? 0,
            eos,
            seed: BigInt(options.seed ?? 0),
            subs: Uint32Array.from(part, (r) => r.sub),
          },
          ids,
          lengths,
          stopped,
        ),
      );
      await runTask(task, 'generate', { signal: options.signal });
      part.forEach((_, i) => {
        out.push({ ids: ids.slice(i * maxNewTokens, i * maxNewTokens + (lengths[i] as number)), stopped: stopped[i] === 1 });
      });
      options.onProgress?.({ phase: 'generate', done: out.length, total: rows.length });
    }
    return out;
  }

  /**
   * Writes a folder that Hugging Face transformers loads: weights in the source's layout, config, tokenizer files carried along.
   * Every file is written beside its place, synced and renamed.
   */
  async save(directory: string, options: SaveOptions = {}): Promise<void> {
    await saveCheckpoint(this.handle, this.directory, directory, options);
  }

  /** Releases the native memory. Idempotent. */
  dispose(): void {
    this.handle.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  async #score(
    batch: PackedBatch,
    outputs: Parameters<ReturnType<typeof addon>['scoreTask']>[2],
    phase: string,
    options: RunOptions,
  ): Promise<void> {
    const task = callNative(() => addon().scoreTask(this.handle, batch, outputs));
    await runTask(task, phase, { signal: options.signal });
  }
}
