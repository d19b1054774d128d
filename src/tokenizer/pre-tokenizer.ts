import { bytesToSymbols, splitPieces } from './byte-level.ts';
import { compilePattern } from './regular-expression.ts';
import { asList, asObject, type Json, refuse } from './tokenizer-json.ts';

/** Cuts texts further, in order; `first` says that the first of them begins where the whole input begins. */
export type PreTokenizer = (texts: readonly string[], first: boolean) => readonly string[];

export interface PreTokenization {
  readonly split: PreTokenizer | null;
  /** true: the words are plain text whose UTF-8 bytes are the symbols; false: the characters of the words are the symbols */
  readonly bytes: boolean;
}

/**
 * The `pre_tokenizer` of a tokenizer.json. A ByteLevel step at the end is left to a model that works on bytes; in the middle it writes
 * the bytes as characters, as the reference always does. Throws `unsupported` for kinds without an implementation.
 */
export function parsePreTokenizer(json: unknown, path: string): PreTokenization {
  if (json === null || json === undefined) return { split: null, bytes: false };
  const kinds = flatten(asObject(json, path, '`pre_tokenizer`'), path);
  const bytes = kinds.at(-1)?.['type'] === 'ByteLevel' && kinds.filter((kind) => kind['type'] === 'ByteLevel').length === 1;
  const steps = kinds.flatMap((kind, i): PreTokenizer[] => {
    if (kind['type'] === 'Metaspace' && i > 0 && prependScheme(kind) === 'first')
      throw refuse(path, 'a Metaspace step behind others that marks only the first word');
    const step = stepOf(kind, path, bytes);
    return step === null ? [] : [step];
  });
  const [only] = steps;
  if (only === undefined) return { split: null, bytes };
  return {
    split: steps.length === 1 ? only : (texts, first) => steps.reduce<readonly string[]>((before, step) => step(before, first), texts),
    bytes,
  };
}

function flatten(json: Json, path: string): Json[] {
  if (json['type'] !== 'Sequence') return [json];
  return asList(json['pretokenizers'], path, '`pretokenizers`').flatMap((step) => flatten(asObject(step, path, 'a pre-tokeniser'), path));
}

const space = /\p{White_Space}/gu;
const digit = /\p{N}/gu;
const digits = /\p{N}+/gu;
// ASCII symbols such as $ and + count as punctuation too
const punctuation = /[!-/:-@[-`{-~\p{P}]/gu;
const words = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/gu;

function stepOf(json: Json, path: string, bytesLast: boolean): PreTokenizer | null {
  const each =
    (cut: (text: string) => readonly string[]): PreTokenizer =>
    (texts) =>
      texts.length === 1 ? cut(texts[0] as string) : texts.flatMap(cut);
  switch (json['type']) {
    case 'ByteLevel': {
      const prefix = json['add_prefix_space'] !== false;
      const cut = json['use_regex'] === false ? (text: string): string[] => [text] : splitPieces;
      if (bytesLast && !prefix && json['use_regex'] === false) return null;
      const encoder = new TextEncoder();
      return each((text) => {
        const pieces = cut(prefix && !text.startsWith(' ') ? ` ${text}` : text);
        return bytesLast ? pieces : pieces.map((piece) => bytesToSymbols(encoder.encode(piece)));
      });
    }
    case 'Split': {
      const pattern = compilePattern(json['pattern'], path, '`pattern`');
      const behavior = String(json['behavior']);
      if (!BEHAVIORS.has(behavior)) throw refuse(path, `a Split that is ${behavior}`);
      const invert = json['invert'] === true;
      return each((text) => cutAt(text, pattern, behavior, invert));
    }
    case 'Metaspace':
      return metaspace(json);
    case 'BertPreTokenizer':
      return each((text) => cutAt(text, space, 'Removed', false).flatMap((word) => cutAt(word, punctuation, 'Isolated', false)));
    case 'Whitespace':
      return each((text) => text.match(words) ?? []);
    case 'WhitespaceSplit':
      return each((text) => cutAt(text, space, 'Removed', false));
    case 'Digits':
      return each((text) => cutAt(text, json['individual_digits'] === true ? digit : digits, 'Isolated', false));
    case 'Punctuation': {
      const behavior = String(json['behavior'] ?? 'Isolated');
      if (!BEHAVIORS.has(behavior)) throw refuse(path, `a Punctuation step that is ${behavior}`);
      return each((text) => cutAt(text, punctuation, behavior, false));
    }
    case 'CharDelimiterSplit': {
      const delimiter = String(json['delimiter']);
      return each((text) => text.split(delimiter).filter((part) => part !== ''));
    }
    default:
      throw refuse(path, `a ${String(json['type'])} pre-tokeniser`);
  }
}

function prependScheme(json: Json): string {
  // Files written before the field existed have a yes or no
  return String(json['prepend_scheme'] ?? (json['add_prefix_space'] === false ? 'never' : 'always'));
}

function metaspace(json: Json): PreTokenizer {
  const mark = typeof json['replacement'] === 'string' ? json['replacement'] : '▁';
  const scheme = prependScheme(json);
  const split = json['split'] !== false;
  const pattern = new RegExp(mark, 'gu');
  return (texts, first) =>
    texts.flatMap((text, i) => {
      let marked = text.replaceAll(' ', mark);
      if ((scheme === 'always' || (scheme === 'first' && first && i === 0)) && !marked.startsWith(mark)) marked = mark + marked;
      return split ? cutAt(marked, pattern, 'MergedWithNext', false) : [marked];
    });
}

const BEHAVIORS: ReadonlySet<string> = new Set(['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous']);

/** Cuts a text at the matches of a pattern; what becomes of a match is the behaviour. No piece is empty. */
export function cutAt(text: string, pattern: RegExp, behavior: string, invert: boolean): string[] {
  if (behavior === 'Isolated' && !invert) {
    // Patterns of byte-level tokenizers leave nothing between their matches
    const matches = text.match(pattern);
    if (matches === null) return text === '' ? [] : [text];
    let length = 0;
    for (const match of matches) length += match.length;
    if (length === text.length && !matches.includes('')) return matches;
  }
  const parts: { text: string; match: boolean }[] = [];
  let done = 0;
  for (const match of text.matchAll(pattern)) {
    if (match.index > done) parts.push({ text: text.slice(done, match.index), match: invert });
    if (match[0] !== '') parts.push({ text: match[0], match: !invert });
    done = match.index + match[0].length;
  }
  if (done < text.length) parts.push({ text: text.slice(done), match: invert });
  if (behavior === 'Isolated') return parts.map((part) => part.text);
  if (behavior === 'Removed') return parts.filter((part) => !part.match).map((part) => part.text);
  const pieces: string[] = [];
  let before: boolean | null = null;
  if (behavior === 'MergedWithNext') {
    for (const { text: part, match } of parts.reverse()) {
      if (match && before === false) pieces[pieces.length - 1] = part + (pieces.at(-1) as string);
      else pieces.push(part);
      before = match;
    }
    return pieces.reverse();
  }
  for (const { text: part, match } of parts) {
    const joins = behavior === 'Contiguous' ? match === before : match && before === false;
    if (joins) pieces[pieces.length - 1] = (pieces.at(-1) as string) + part;
    else pieces.push(part);
    before = match;
  }
  return pieces;
}
