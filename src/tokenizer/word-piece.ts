import type { WordModel } from './word-model.ts';

export interface WordPieceParts {
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly unknown: number;
  /** Put before every piece of a word but the first, usually `##` */
  readonly continuingPrefix: string;
  /** Longer words, in code points, are unknown as a whole; 100 in BERT */
  readonly longestWord: number;
}

/** WordPiece as in BERT: from the left, the longest piece that the vocabulary has; a word with a part that has none is unknown. */
export class WordPiece implements WordModel {
  private readonly parts: WordPieceParts;
  private readonly unknown: Int32Array;
  /** Longest entry in UTF-16 units: no longer piece needs to be tried */
  private readonly longestEntry: number;

  constructor(parts: WordPieceParts) {
    this.parts = parts;
    this.unknown = Int32Array.of(parts.unknown);
    let longest = 0;
    for (const token of parts.vocabulary.keys()) longest = Math.max(longest, token.length);
    this.longestEntry = longest;
  }

  encodeWord(word: string): Int32Array {
    const { vocabulary, continuingPrefix, longestWord } = this.parts;
    // Code points are at most as many as UTF-16 units
    if (word.length > longestWord && [...word].length > longestWord) return this.unknown;
    const ids: number[] = [];
    let start = 0;
    while (start < word.length) {
      let stop = Math.min(word.length, start + this.longestEntry);
      let found: number | undefined;
      for (; stop > start; stop--) {
        const piece = word.slice(start, stop);
        found = vocabulary.get(start > 0 ? continuingPrefix + piece : piece);
        if (found !== undefined) break;
      }
      if (found === undefined) return this.unknown;
      ids.push(found);
      start = stop;
    }
    return Int32Array.from(ids);
  }
}
