import { byteToCharacter } from './byte-level.ts';
import { mergeSymbols } from './merge-symbols.ts';
import { MergeTable } from './merge-table.ts';
import type { WordModel } from './word-model.ts';

export interface ByteLevelBpeParts {
  /** Token text in the byte alphabet -> id */
  readonly vocabulary: ReadonlyMap<string, number>;
  /** Ids that merge, in rank order, and the id they become */
  readonly merges: readonly (readonly [left: number, right: number, merged: number])[];
  /** Id for bytes that the vocabulary lacks; null leaves them out, as the reference does */
  readonly unknown: number | null;
  /** A word that is in the vocabulary as a whole takes that id, whatever the merges say (Llama 3) */
  readonly ignoreMerges: boolean;
}

/** Byte-pair encoding over the 256 bytes of UTF-8: GPT-2, GPT-NeoX, Llama 3, Qwen. */
export class ByteLevelBpe implements WordModel {
  private readonly merges: MergeTable;
  /** [256] id of each byte, -1 when missing */
  private readonly byteIds = new Int32Array(256);
  private readonly parts: ByteLevelBpeParts;
  private readonly encoder = new TextEncoder();

  constructor(parts: ByteLevelBpeParts) {
    this.parts = parts;
    this.merges = new MergeTable(parts.merges.length);
    for (const [left, right, merged] of parts.merges) this.merges.add(left, right, merged);
    for (let byte = 0; byte < 256; byte++) this.byteIds[byte] = parts.vocabulary.get(byteToCharacter(byte)) ?? -1;
  }

  encodeWord(word: string): Int32Array {
    const bytes = this.encoder.encode(word);
    if (this.parts.ignoreMerges) {
      let symbols = '';
      for (const byte of bytes) symbols += byteToCharacter(byte);
      const whole = this.parts.vocabulary.get(symbols);
      if (whole !== undefined) return Int32Array.of(whole);
    }
    const ids = new Int32Array(bytes.length);
    let count = 0;
    for (const byte of bytes) {
      const id = this.byteIds[byte] as number;
      if (id >= 0) ids[count++] = id;
      else if (this.parts.unknown !== null) ids[count++] = this.parts.unknown;
    }
    return ids.slice(0, mergeSymbols(ids, count, this.merges));
  }
}
