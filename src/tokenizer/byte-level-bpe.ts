import type { AddedToken } from './added-tokens.ts';
import { AddedTokenFinder } from './added-tokens.ts';
import { byteToCharacter, splitPieces, symbolsToBytes } from './byte-level.ts';
import { mergeSymbols } from './merge-symbols.ts';
import { MergeTable } from './merge-table.ts';
import type { Tokenizer } from './tokenizer.ts';

export type NormalForm = 'NFC' | 'NFD' | 'NFKC' | 'NFKD';

/** What a byte-level BPE is made of, free of any file format. */
export interface ByteLevelBpeParts {
  /** Token text in the byte alphabet -> id */
  readonly vocabulary: ReadonlyMap<string, number>;
  /** Ids that merge, in rank order, and the id they become */
  readonly merges: readonly (readonly [left: number, right: number, merged: number])[];
  readonly addedTokens: readonly AddedToken[];
  readonly normalForms: readonly NormalForm[];
  /** A space is put before each stretch of text that has none */
  readonly addPrefixSpace: boolean;
  /** false: no cutting into words, merges may cross spaces */
  readonly splitWords: boolean;
  /** Id for bytes that the vocabulary lacks; null leaves them out, as the reference does */
  readonly unknown: number | null;
  readonly eos: number | null;
  readonly hash: string;
}

const cacheEntries = 1 << 16;
const cachedWordLength = 48;

/** The byte-level BPE of GPT-2, GPT-Neo and GPT-NeoX: the same ids as the Rust `tokenizers` library. */
export class ByteLevelBpe implements Tokenizer {
  readonly vocabularySize: number;
  readonly eos: number | null;
  readonly hash: string;
  private readonly merges: MergeTable;
  /** [256] id of each byte, -1 when missing */
  private readonly byteIds = new Int32Array(256);
  private readonly bytesOf = new Map<number, Uint8Array>();
  private readonly raw: AddedTokenFinder;
  private readonly normalized: AddedTokenFinder;
  private readonly parts: ByteLevelBpeParts;
  private readonly cache = new Map<string, Int32Array>();
  private readonly encoder = new TextEncoder();
  private readonly decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  constructor(parts: ByteLevelBpeParts) {
    this.parts = parts;
    this.hash = parts.hash;
    this.eos = parts.eos;
    this.merges = new MergeTable(parts.merges.length);
    for (const [left, right, merged] of parts.merges) this.merges.add(left, right, merged);
    for (let byte = 0; byte < 256; byte++) this.byteIds[byte] = parts.vocabulary.get(byteToCharacter(byte)) ?? -1;
    for (const [token, id] of parts.vocabulary) this.bytesOf.set(id, symbolsToBytes(token));
    for (const token of parts.addedTokens) this.bytesOf.set(token.id, symbolsToBytes(token.content));
    this.vocabularySize = this.bytesOf.size;
    this.raw = new AddedTokenFinder(
      parts.addedTokens.filter((token) => !token.normalized),
      (text) => text,
    );
    this.normalized = new AddedTokenFinder(
      parts.addedTokens.filter((token) => token.normalized),
      (text) => this.normalize(text),
    );
  }

  encode(text: string): Int32Array {
    let ids = new Int32Array(Math.max(16, text.length >> 1));
    let count = 0;
    const append = (more: ArrayLike<number>): void => {
      if (count + more.length > ids.length) {
        const grown = new Int32Array(Math.max(ids.length * 2, count + more.length));
        grown.set(ids.subarray(0, count));
        ids = grown;
      }
      for (let i = 0; i < more.length; i++) ids[count++] = more[i] as number;
    };
    for (const outer of this.raw.split(text)) {
      if ('id' in outer) {
        append([outer.id]);
        continue;
      }
      for (const inner of this.normalized.split(this.normalize(outer.text))) {
        if ('id' in inner) append([inner.id]);
        else this.encodeText(inner.text, append);
      }
    }
    return ids.slice(0, count);
  }

  /** Broken UTF-8 becomes U+FFFD; ids that the vocabulary lacks stand for nothing, as in the reference. */
  decode(ids: ArrayLike<number>): string {
    const pieces: Uint8Array[] = [];
    for (let i = 0; i < ids.length; i++) {
      const bytes = this.bytesOf.get(ids[i] as number);
      if (bytes !== undefined) pieces.push(bytes);
    }
    // The bytes of a character may be spread over tokens, so all are decoded at once
    return this.decoder.decode(Buffer.concat(pieces));
  }

  private normalize(text: string): string {
    for (const form of this.parts.normalForms) text = text.normalize(form);
    return text;
  }

  private encodeText(text: string, append: (ids: ArrayLike<number>) => void): void {
    if (this.parts.addPrefixSpace && !text.startsWith(' ')) text = ` ${text}`;
    for (const word of this.parts.splitWords ? splitPieces(text) : [text]) {
      let ids = this.cache.get(word);
      if (ids === undefined) {
        ids = this.encodeWord(word);
        if (word.length <= cachedWordLength) {
          if (this.cache.size >= cacheEntries) this.cache.clear();
          this.cache.set(word, ids);
        }
      }
      append(ids);
    }
  }

  private encodeWord(word: string): Int32Array {
    const bytes = this.encoder.encode(word);
    const symbols = new Int32Array(bytes.length);
    let count = 0;
    for (const byte of bytes) {
      const id = this.byteIds[byte] as number;
      if (id >= 0) symbols[count++] = id;
      else if (this.parts.unknown !== null) symbols[count++] = this.parts.unknown;
    }
    return symbols.slice(0, mergeSymbols(symbols, count, this.merges));
  }
}
