import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MendsetError } from '../core/errors.ts';
import { type RunOptions, throwIfAborted } from '../core/run-options.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { TokenSequence } from '../model/sequences.ts';
import { ReferenceFiles } from './reference-files.ts';

type ReferenceModel = Pick<LanguageModel, 'hash' | 'summary' | 'logProbs' | 'hidden'>;

/** Tokens of one forward pass: also how much is lost when the computation is interrupted. */
const TOKENS_PER_PASS = 4096;

/**
 * What the original model says about texts: summed log-probabilities (DPO) and hidden states after the final norm (KL). Each text is
 * computed once, before the training that reads it, so that no step runs the original model's body; a study hands one cache to all
 * repairs of the same model.
 *
 * Hidden states (tokens x width x 4 bytes) are held in memory up to `maxBytes` (default 512 MiB) and beyond it in files. With
 * `folder` everything is kept there by content hash, and later runs read it; without one the files are temporary and `dispose`
 * removes them.
 *
 * Throws `invalid-argument` when it is used with another model, `corrupt` for damaged files and `io` when the disk is full.
 * @example
 * using references = new ReferenceCache({ folder: 'cache/references' });
 * for (const method of [dpo(), dpo({ kl: {} })]) await repair(base.copy(), data, method, { references });
 */
export class ReferenceCache {
  readonly maxBytes: number;
  readonly folder: string | null;
  readonly #logProbs = new Map<string, number>();
  readonly #hidden = new Map<string, Float32Array>();
  #hiddenBytes = 0;
  #computedTokens = 0;
  #identity: string | null = null;
  #files: ReferenceFiles | null = null;
  #temporary: string | null = null;

  constructor(options: { readonly folder?: string | undefined; readonly maxBytes?: number | undefined } = {}) {
    this.folder = options.folder ?? null;
    this.maxBytes = options.maxBytes ?? 2 ** 29;
  }

  /** Bytes of hidden states held in memory now. */
  get bytes(): number {
    return this.#hiddenBytes;
  }

  /** Tokens the original model has read for this cache so far. */
  get computedTokens(): number {
    return this.#computedTokens;
  }

  /** Sum of the scored tokens' log-probabilities, one for each sequence. */
  async logProbs(model: ReferenceModel, sequences: readonly TokenSequence[], options: RunOptions = {}): Promise<Float64Array> {
    await this.#claim(model);
    const keys = sequences.map(sequenceKey);
    const known = (key: string) => this.#logProbs.get(key) ?? this.#files?.logProb(key);
    const missing = firstOfEach(sequences, keys).filter(({ key }) => known(key) === undefined);
    if (missing.length > 0) {
      const rows = await model.logProbs(
        missing.map(({ sequence }) => sequence),
        options,
      );
      const found = new Map<string, number>();
      missing.forEach(({ key, sequence }, i) => {
        this.#computedTokens += sequence.ids.length;
        let sum = 0;
        for (const value of rows[i] as Float64Array) sum += value;
        found.set(key, sum);
      });
      if (this.folder !== null) await (this.#files as ReferenceFiles).addLogProbs(found);
      else for (const [key, value] of found) this.#logProbs.set(key, value);
    }
    return Float64Array.from(keys, (key) => known(key) as number);
  }

  /**
   * Computes the hidden states of texts that are not known yet, in passes of a few thousand tokens; an abort keeps what is done.
   * Call it while `model` still has its original weights.
   */
  async prepareHidden(model: ReferenceModel, sequences: readonly TokenSequence[], options: RunOptions = {}): Promise<void> {
    await this.#claim(model);
    const { width } = model.summary;
    const keys = sequences.map(sequenceKey);
    const missing = firstOfEach(sequences, keys).filter(({ key }) => !this.#hidden.has(key) && !this.#files?.hasHidden(key));
    if (missing.length === 0) return;
    const total = missing.reduce((sum, { sequence }) => sum + sequence.ids.length, 0);
    const toFiles = this.folder !== null || this.#hiddenBytes + total * width * 4 > this.maxBytes;
    if (toFiles) this.#files ??= await ReferenceFiles.open(this.#temporaryFolder(), this.#identity as string, width);
    const writer = toFiles ? await (this.#files as ReferenceFiles).writer() : null;
    let done = 0;
    try {
      for (let first = 0; first < missing.length; ) {
        throwIfAborted(options.signal);
        const pass: typeof missing = [];
        let tokens = 0;
        for (; first < missing.length && tokens < TOKENS_PER_PASS; first++) {
          const next = missing[first] as (typeof missing)[number];
          pass.push(next);
          tokens += next.sequence.ids.length;
        }
        const states = await model.hidden(
          pass.map(({ sequence }) => sequence),
          { signal: options.signal },
        );
        let row = 0;
        for (const { key, sequence } of pass) {
          const own = states.slice(row * width, (row + sequence.ids.length) * width);
          row += sequence.ids.length;
          if (writer) await writer.add(key, own);
          else this.#keep(key, own);
        }
        this.#computedTokens += tokens;
        done += tokens;
        options.onProgress?.({ phase: 'reference', done, total });
      }
    } catch (error) {
      if (error instanceof MendsetError && error.code === 'aborted') await writer?.finish();
      else await writer?.abandon();
      throw error;
    }
    await writer?.finish();
  }

  /** Hidden states after the final norm, packed: [tokens of all sequences, width]; `prepareHidden` must have seen every text. */
  async hidden(sequences: readonly TokenSequence[], width: number): Promise<Float32Array> {
    const tokens = sequences.reduce((sum, s) => sum + s.ids.length, 0);
    const out = new Float32Array(tokens * width);
    const fromFiles: { key: string; row: number }[] = [];
    let row = 0;
    for (const sequence of sequences) {
      const key = sequenceKey(sequence);
      const held = this.#hidden.get(key);
      if (held) out.set(held, row * width);
      else if (this.#files?.hasHidden(key)) fromFiles.push({ key, row });
      else {
        throw new MendsetError(
          'invalid-argument',
          `Expected hidden states of a text of ${sequence.ids.length} tokens but they were not computed: call prepareHidden with it before training.`,
        );
      }
      row += sequence.ids.length;
    }
    if (fromFiles.length > 0) await (this.#files as ReferenceFiles).readHidden(fromFiles, out);
    return out;
  }

  /** Forgets what is in memory and removes temporary files; those of `folder` stay. */
  dispose(): void {
    this.#hidden.clear();
    this.#hiddenBytes = 0;
    this.#logProbs.clear();
    this.#files = null;
    this.#identity = null;
    if (this.#temporary !== null) rmSync(this.#temporary, { recursive: true, force: true });
    this.#temporary = null;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #keep(key: string, states: Float32Array): void {
    this.#hidden.set(key, states);
    this.#hiddenBytes += states.byteLength;
  }

  #temporaryFolder(): string {
    this.#temporary ??= mkdtempSync(join(tmpdir(), 'mendset-references-'));
    return this.#temporary;
  }

  /** Equal bits need equal arithmetic: what one instruction set computed does not serve another. */
  async #claim(model: ReferenceModel): Promise<void> {
    const { backend, device, width } = model.summary;
    if (model.hash === null) {
      if (this.#identity === null && this.folder === null) this.#identity = 'weights without a hash';
      else if (this.#identity !== 'weights without a hash') {
        throw new MendsetError(
          'invalid-argument',
          'Expected a model as it was loaded, whose weights have a hash, for a cache that is shared, but its weights were changed: use a cache of its own without a folder.',
        );
      }
      return;
    }
    const identity = JSON.stringify({ model: model.hash, backend, device });
    if (this.#identity !== null && this.#identity !== identity) {
      const { model: claimed } = JSON.parse(this.#identity) as { model: string };
      throw new MendsetError(
        'invalid-argument',
        `Expected the reference cache of model ${claimed.slice(0, 12)} but the model to repair is ${model.hash.slice(0, 12)} on ${device}: use one cache for each model.`,
      );
    }
    this.#identity = identity;
    if (this.folder !== null) this.#files ??= await ReferenceFiles.open(this.folder, identity, width);
  }
}

interface Text {
  readonly key: string;
  readonly sequence: TokenSequence;
}

/** Equal texts are computed once. */
function firstOfEach(sequences: readonly TokenSequence[], keys: readonly string[]): Text[] {
  const seen = new Map<string, Text>();
  keys.forEach((key, i) => {
    if (!seen.has(key)) seen.set(key, { key, sequence: sequences[i] as TokenSequence });
  });
  return [...seen.values()];
}

function sequenceKey(sequence: TokenSequence): string {
  const { ids, mask } = sequence;
  return createHash('sha256')
    .update(new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength))
    .update(mask)
    .digest('base64');
}
