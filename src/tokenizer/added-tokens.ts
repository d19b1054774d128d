/** A token that is found in the text before any byte is merged. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** true: looked for after normalising, with its own content normalised; false: before */
  readonly normalized: boolean;
  /** only between characters that are no letters, digits or `_` */
  readonly singleWord: boolean;
  /** takes the white space before it along */
  readonly lstrip: boolean;
  /** takes the white space behind it along */
  readonly rstrip: boolean;
}

/** A part of a text: either an added token or text that is still to be tokenised. */
export type TextPart = { readonly id: number } | { readonly text: string };

const wordAtEnd = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;
const wordAtStart = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const spaceAtEnd = /\p{White_Space}*$/u;
const spaceAtStart = /^\p{White_Space}*/u;

/** Finds a set of added tokens in texts: leftmost first, the longest of those that begin at the same place. */
export class AddedTokenFinder {
  private readonly pattern: RegExp | null;
  private readonly tokens = new Map<string, AddedToken>();

  constructor(tokens: readonly AddedToken[], normalize: (text: string) => string) {
    for (const token of tokens) if (token.content !== '') this.tokens.set(normalize(token.content), token);
    const contents = [...this.tokens.keys()].sort((a, b) => b.length - a.length);
    this.pattern =
      contents.length === 0
        ? null
        : new RegExp(contents.map((content) => content.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')).join('|'), 'gu');
  }

  split(text: string): TextPart[] {
    if (this.pattern === null) return text === '' ? [] : [{ text }];
    const parts: TextPart[] = [];
    let done = 0;
    for (const match of text.matchAll(this.pattern)) {
      const token = this.tokens.get(match[0]) as AddedToken;
      let start = match.index;
      let stop = start + match[0].length;
      if (token.singleWord && (wordAtEnd.test(text.slice(0, start)) || wordAtStart.test(text.slice(stop)))) continue;
      if (token.lstrip) start = Math.max(done, start - lengthOf(spaceAtEnd, text.slice(0, start)));
      if (token.rstrip) stop += lengthOf(spaceAtStart, text.slice(stop));
      if (start > done) parts.push({ text: text.slice(done, start) });
      parts.push({ id: token.id });
      done = stop;
    }
    if (done < text.length) parts.push({ text: text.slice(done) });
    return parts;
  }
}

function lengthOf(pattern: RegExp, text: string): number {
  return pattern.exec(text)?.[0].length ?? 0;
}
