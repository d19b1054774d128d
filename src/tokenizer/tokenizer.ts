/** Text to token ids and back. */
export interface Tokenizer {
  /** Number of distinct ids, added tokens included */
  readonly vocabularySize: number;
  /** Id of the end-of-text token, null when the vocabulary has none */
  readonly eos: number | null;
  /** SHA-256 of the file(s) it was read from */
  readonly hash: string;
  /** No special tokens are added; those spelled out in the text are recognised as the reference does. */
  encode(text: string): Int32Array;
  decode(ids: ArrayLike<number>): string;
}
