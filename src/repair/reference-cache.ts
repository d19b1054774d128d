import { createHash } from 'node:crypto';
import { MendsetError } from '../core/errors.ts';
import type { RunOptions } from '../core/run-options.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { TokenSequence } from '../model/sequences.ts';

type ReferenceModel = Pick<LanguageModel, 'hash' | 'summary' | 'logProbs' | 'hidden'>;

/**
 * What the original model says about texts: summed log-probabilities (DPO) and final hidden states (KL). Each text is computed
 * once; a study hands one cache to all repairs of the same model. Hidden states are kept up to `maxBytes` and recomputed beyond.
 *
 * Throws `invalid-argument` when it is used with another model.
 * @example
 * const references = new ReferenceCache();
 * for (const method of [dpo(), dpo({ kl: {} })]) await repair(base.copy(), data, method, { references });
 */
export class ReferenceCache {
  readonly maxBytes: number;
  readonly #logProbs = new Map<string, number>();
  readonly #hidden = new Map<string, Float32Array>();
  #hiddenBytes = 0;
  #computedTokens = 0;
  #modelHash: string | null = null;

  constructor(options: { maxBytes?: number } = {}) {
    this.maxBytes = options.maxBytes ?? 2 ** 29;
  }

  /** Bytes of hidden states held now. */
  get bytes(): number {
    return this.#hiddenBytes;
  }

  /** Tokens the original model has read for this cache so far. */
  get computedTokens(): number {
    return this.#computedTokens;
  }

  /** Sum of the scored tokens' log-probabilities, one for each sequence. */
  async logProbs(model: ReferenceModel, sequences: readonly TokenSequence[], options: RunOptions = {}): Promise<Float64Array> {
    this.#claim(model);
    const keys = sequences.map(sequenceKey);
    const missing = [...new Map(keys.map((key, i) => [key, i] as const)).entries()].filter(([key]) => !this.#logProbs.has(key));
    if (missing.length > 0) {
      const rows = await model.logProbs(
        missing.map(([, i]) => sequences[i] as TokenSequence),
        options,
      );
      missing.forEach(([key, i], j) => {
        this.#computedTokens += (sequences[i] as TokenSequence).ids.length;
        let sum = 0;
        for (const value of rows[j] as Float64Array) sum += value;
        this.#logProbs.set(key, sum);
      });
    }
    return Float64Array.from(keys, (key) => this.#logProbs.get(key) as number);
  }

  /** Hidden states after the final norm, packed: [tokens of all sequences, width]. */
  async hidden(model: ReferenceModel, sequences: readonly TokenSequence[], options: RunOptions = {}): Promise<Float32Array> {
    this.#claim(model);
    const { width } = model.summary;
    const tokens = sequences.reduce((sum, s) => sum + s.ids.length, 0);
    const out = new Float32Array(tokens * width);
    const missing: { index: number; key: string; at: number }[] = [];
    let at = 0;
    sequences.forEach((s, index) => {
      const key = sequenceKey(s);
      const known = this.#hidden.get(key);
      if (known) out.set(known, at);
      else missing.push({ index, key, at });
      at += s.ids.length * width;
    });
    if (missing.length === 0) return out;
    const computed = await model.hidden(
      missing.map((m) => sequences[m.index] as TokenSequence),
      options,
    );
    let from = 0;
    for (const m of missing) {
      const size = (sequences[m.index] as TokenSequence).ids.length * width;
      const part = computed.slice(from, from + size);
      out.set(part, m.at);
      this.#computedTokens += (sequences[m.index] as TokenSequence).ids.length;
      if (!this.#hidden.has(m.key) && this.#hiddenBytes + part.byteLength <= this.maxBytes) {
        this.#hidden.set(m.key, part);
        this.#hiddenBytes += part.byteLength;
      }
      from += size;
    }
    return out;
  }

  #claim(model: ReferenceModel): void {
    if (model.hash === null) return;
    this.#modelHash ??= model.hash;
    if (this.#modelHash !== model.hash) {
      throw new MendsetError(
        'invalid-argument',
        `Expected the reference cache of model ${this.#modelHash.slice(0, 12)} but the model to repair is ${model.hash.slice(0, 12)}: use one cache for each model.`,
      );
    }
  }
}

function sequenceKey(sequence: TokenSequence): string {
  const { ids, mask } = sequence;
  return createHash('sha256')
    .update(new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength))
    .update(mask)
    .digest('base64');
}
