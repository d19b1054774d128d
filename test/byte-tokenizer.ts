import type { Tokenizer } from '../src/tokenizer/tokenizer.ts';

/** One id for each byte, 256 = end of text: the vocabulary of the tiny models. */
export const byteTokenizer: Tokenizer = {
  vocabularySize: 257,
  eos: 256,
  hash: 'bytes',
  kind: 'bytes',
  encode: (text) => Int32Array.from(new TextEncoder().encode(text)),
  decode: (ids) => new TextDecoder().decode(Uint8Array.from(Array.from(ids).filter((id) => id < 256))),
};

/** The same with a begin-of-text token before every text, as Llama's. */
export const startingTokenizer: Tokenizer = {
  ...byteTokenizer,
  hash: 'bytes-started',
  encode: (text, options) => {
    const ids = byteTokenizer.encode(text);
    return options?.specials === 'before' || options?.specials === true ? Int32Array.of(BEGIN, ...ids) : ids;
  },
};

/** An id that no ASCII text has. */
export const BEGIN = 200;

export const tinyConfig = (overrides: Record<string, unknown> = {}): Record<string, unknown> => ({
  model_type: 'gpt2',
  architectures: ['GPT2LMHeadModel'],
  vocab_size: 257,
  n_positions: 64,
  n_embd: 32,
  n_layer: 3,
  n_head: 4,
  bos_token_id: 256,
  eos_token_id: 256,
  tie_word_embeddings: true,
  layer_norm_epsilon: 1e-5,
  activation_function: 'gelu_new',
  ...overrides,
});
