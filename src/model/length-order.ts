import type { Tokenizer } from '../tokenizer/tokenizer.ts';

/**
 * Texts as ids with their special tokens, at most `maxTokens` of them, ordered by length, so that what is computed together is of like
 * length; `order[i]` is the place of the i-th sequence's text. Equal lengths keep their order.
 */
export function encodeTexts(
  tokenizer: Tokenizer,
  texts: readonly string[],
  maxTokens: number,
): { readonly sequences: readonly Int32Array[]; readonly order: readonly number[] } {
  const encoded = texts.map((text) => tokenizer.encode(text, { specials: true, maxLength: maxTokens }));
  const order = encoded.map((_, i) => i).sort((a, b) => (encoded[a] as Int32Array).length - (encoded[b] as Int32Array).length || a - b);
  return { sequences: order.map((i) => encoded[i] as Int32Array), order };
}
