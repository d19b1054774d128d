/** How one text becomes ids. */
export interface EncodeOptions {
  /**
   * Put the file's own special tokens around the text, such as [CLS] and [SEP]; default false. `before`: those alone that stand before it, as
   * language models read texts: a begin-of-text token for Llama, none for GPT-2, NeoX and Qwen.
   */
  readonly specials?: boolean | 'before';
  /**
   * Most ids, special ones counted. What is beyond is cut from the end of the text, special tokens stay. `stored`: the length (and
   * the side that is cut) which the file carries, if any; without the option that length is ignored.
   */
  readonly maxLength?: number | 'stored';
  /** `stored`: fill up with the padding token to the fixed length that the file carries, if any; without it nothing is filled */
  readonly padding?: 'stored';
}

/** Text to token ids and back. */
export interface Tokenizer {
  /** Number of distinct ids, added tokens included */
  readonly vocabularySize: number;
  /** Id of the end-of-text token, null when the vocabulary has none */
  readonly eos: number | null;
  /** SHA-256 of the file(s) it was read from */
  readonly hash: string;
  /** In words, e.g. `byte-level BPE`; names the library where this package has no own implementation of the kind */
  readonly kind: string;
  /** Without options no special tokens are added; those spelled out in the text are recognised as the reference does. */
  encode(text: string, options?: EncodeOptions): Int32Array;
  decode(ids: ArrayLike<number>): string;
}
