import { MendsetError } from '../core/errors.ts';
import { bytesToSymbols, byteToCharacter, splitPieces } from './byte-level.ts';

/** A trained byte-level BPE; token i has id i. */
export interface TrainedBpe {
  /** [size] in the byte alphabet: 256 bytes in byte order, then one entry for each merge */
  readonly tokens: readonly string[];
  /** Pairs in rank order */
  readonly merges: readonly (readonly [string, string])[];
}

interface Word {
  symbols: number[];
  readonly count: number;
}

const keyBase = 1 << 21;

/**
 * Learns byte-pair merges (Sennrich et al. 2016) on the words of GPT-2's pre-tokeniser until there are `size` tokens. Each step
 * merges the pair that occurs most often; of equals the one with the lower left id, then the lower right id: the result depends on
 * the texts alone. Throws `invalid-data` when the texts hold too few pairs that occur twice.
 */
export function trainBpe(texts: Iterable<string>, size: number): TrainedBpe {
  const words = countWords(texts);
  const tokens = Array.from({ length: 256 }, (_, byte) => byteToCharacter(byte));
  const merges: [string, string][] = [];

  /** left * keyBase + right -> occurrences, and the words that hold (or held) the pair */
  const counts = new Map<number, number>();
  const holders = new Map<number, Set<number>>();
  const change = (word: number, left: number, right: number, by: number): void => {
    const key = left * keyBase + right;
    const count = (counts.get(key) ?? 0) + by;
    if (count === 0) counts.delete(key);
    else counts.set(key, count);
    if (by <= 0) return;
    const set = holders.get(key);
    if (set === undefined) holders.set(key, new Set([word]));
    else set.add(word);
  };
  words.forEach(({ symbols, count }, w) => {
    for (let i = 0; i + 1 < symbols.length; i++) change(w, symbols[i] as number, symbols[i + 1] as number, count);
  });

  while (tokens.length < size) {
    let best = -1;
    let most = 1;
    for (const [key, count] of counts) {
      if (count > most || (count === most && key < best)) {
        best = key;
        most = count;
      }
    }
    if (best < 0) {
      throw new MendsetError(
        'invalid-data',
        `Expected text for ${size} tokens but only ${tokens.length} could be learnt; give more text or a smaller size.`,
      );
    }
    const left = Math.floor(best / keyBase);
    const right = best % keyBase;
    const merged = tokens.length;
    tokens.push((tokens[left] as string) + (tokens[right] as string));
    merges.push([tokens[left] as string, tokens[right] as string]);
    for (const w of holders.get(best) ?? []) {
      const word = words[w] as Word;
      for (let i = 0; i + 1 < word.symbols.length; i++) change(w, word.symbols[i] as number, word.symbols[i + 1] as number, -word.count);
      word.symbols = mergePair(word.symbols, left, right, merged);
      for (let i = 0; i + 1 < word.symbols.length; i++) change(w, word.symbols[i] as number, word.symbols[i + 1] as number, word.count);
    }
    counts.delete(best);
    holders.delete(best);
  }
  return { tokens, merges };
}

function countWords(texts: Iterable<string>): Word[] {
  const counts = new Map<string, number>();
  for (const text of texts) for (const piece of splitPieces(text)) counts.set(piece, (counts.get(piece) ?? 0) + 1);
  const encoder = new TextEncoder();
  return [...counts].map(([piece, count]) => ({ symbols: [...encoder.encode(piece)], count }));
}

function mergePair(symbols: readonly number[], left: number, right: number, merged: number): number[] {
  const out: number[] = [];
  for (let i = 0; i < symbols.length; i++) {
    if (symbols[i] === left && symbols[i + 1] === right) {
      out.push(merged);
      i++;
    } else out.push(symbols[i] as number);
  }
  return out;
}

/** The `tokenizer.json` of Hugging Face tokenizers for a trained BPE; the end-of-text token takes the last id. */
export function bpeToTokenizerJson(trained: TrainedBpe, eosToken: string): Record<string, unknown> {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  const vocab = Object.fromEntries(trained.tokens.map((token, id) => [token, id]));
  vocab[bytesToSymbols(new TextEncoder().encode(eosToken))] = trained.tokens.length;
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [
      { id: trained.tokens.length, content: eosToken, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
    ],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: byteLevel,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      merges: trained.merges,
    },
  };
}
