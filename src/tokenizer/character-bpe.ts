import { mergeSymbols } from './merge-symbols.ts';
import { MergeTable } from './merge-table.ts';
import type { WordModel } from './word-model.ts';

export interface CharacterBpeParts {
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly merges: readonly (readonly [left: number, right: number, merged: number])[];
  /** Id of characters that the vocabulary lacks; null leaves them out */
  readonly unknown: number | null;
  /** One unknown id for a run of unknown characters */
  readonly fuseUnknown: boolean;
  /** Characters that the vocabulary lacks become the tokens `<0x00>` .. `<0xFF>` of their UTF-8, where all of them exist */
  readonly byteFallback: boolean;
  readonly ignoreMerges: boolean;
  /** Put before every character of a word but the first, e.g. `##` */
  readonly continuingPrefix: string;
  /** Put behind the last character of a word, e.g. `</w>` */
  readonly endSuffix: string;
}

/** Byte-pair encoding over characters, as SentencePiece models converted by transformers have it: Llama 2, Mistral, Gemma. */
export class CharacterBpe implements WordModel {
  private readonly merges: MergeTable;
  private readonly parts: CharacterBpeParts;
  private readonly encoder = new TextEncoder();
  /** [256] id of `<0xNN>`, -1 when missing */
  private readonly byteIds = new Int32Array(256);

  constructor(parts: CharacterBpeParts) {
    this.parts = parts;
    this.merges = new MergeTable(parts.merges.length);
    for (const [left, right, merged] of parts.merges) this.merges.add(left, right, merged);
    for (let byte = 0; byte < 256; byte++) {
      this.byteIds[byte] = parts.vocabulary.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`) ?? -1;
    }
  }

  encodeWord(word: string): Int32Array {
    const { vocabulary, unknown, fuseUnknown, byteFallback, continuingPrefix, endSuffix } = this.parts;
    if (this.parts.ignoreMerges) {
      const whole = vocabulary.get(word);
      if (whole !== undefined) return Int32Array.of(whole);
    }
    const ids: number[] = [];
    // An unknown waits, so that a run of them can become one; bytes do not end the run, as in the reference
    let waiting = false;
    let position = 0;
    for (const character of word) {
      const symbol = (position > 0 ? continuingPrefix : '') + character + (position + character.length === word.length ? endSuffix : '');
      position += character.length;
      const id = vocabulary.get(symbol);
      if (id !== undefined) {
        if (waiting) ids.push(unknown as number);
        waiting = false;
        ids.push(id);
        continue;
      }
      if (byteFallback) {
        const bytes = this.encoder.encode(symbol);
        if (bytes.every((byte) => (this.byteIds[byte] as number) >= 0)) {
          for (const byte of bytes) ids.push(this.byteIds[byte] as number);
          continue;
        }
      }
      if (unknown === null) continue;
      if (waiting && !fuseUnknown) ids.push(unknown);
      waiting = true;
    }
    if (waiting) ids.push(unknown as number);
    const symbols = Int32Array.from(ids);
    return symbols.slice(0, mergeSymbols(symbols, symbols.length, this.merges));
  }
}
