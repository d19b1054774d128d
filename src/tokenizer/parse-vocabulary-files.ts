import { MendsetError } from '../core/errors.ts';
import type { AddedToken } from './added-tokens.ts';
import { byteToCharacter } from './byte-level.ts';
import type { ByteLevelBpeParts } from './byte-level-bpe.ts';

/** Reads `{ token: id }`; ids are distinct. */
export function parseVocabulary(json: unknown, path: string): Map<string, number> {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new MendsetError(
      'corrupt',
      `Expected an object of token ids as vocabulary in '${path}' but found ${json === null ? 'null' : Array.isArray(json) ? 'a list' : typeof json}.`,
    );
  }
  const vocabulary = new Map<string, number>();
  const ids = new Set<number>();
  for (const [token, id] of Object.entries(json)) {
    if (!Number.isSafeInteger(id) || id < 0 || id > 0x7fffffff) {
      throw new MendsetError(
        'corrupt',
        `Expected an id from 0 for each token in '${path}' but token ${JSON.stringify(token)} has ${JSON.stringify(id)}.`,
      );
    }
    if (ids.has(id as number)) throw new MendsetError('corrupt', `Expected distinct ids in '${path}' but ${String(id)} occurs twice.`);
    ids.add(id as number);
    vocabulary.set(token, id as number);
  }
  if (vocabulary.size === 0) throw new MendsetError('corrupt', `Expected a vocabulary in '${path}' but it is empty.`);
  return vocabulary;
}

/** Turns pairs of token texts into ids, checking that both parts and the whole are in the vocabulary. */
export function resolveMerges(
  pairs: Iterable<readonly [string, string]>,
  vocabulary: ReadonlyMap<string, number>,
  path: string,
): [number, number, number][] {
  const merges: [number, number, number][] = [];
  for (const [left, right] of pairs) {
    const ids = [vocabulary.get(left), vocabulary.get(right), vocabulary.get(left + right)] as const;
    if (ids[0] === undefined || ids[1] === undefined || ids[2] === undefined) {
      throw new MendsetError(
        'corrupt',
        `Expected merge ${merges.length + 1} of '${path}' to join two vocabulary entries to a third but ${JSON.stringify([left, right])} does not; the vocabulary belongs to other merges.`,
      );
    }
    merges.push([ids[0], ids[1], ids[2]]);
  }
  return merges;
}

/** The lines of merges.txt, or the `merges` strings of an old tokenizer.json: two tokens and one space. */
export function splitMerge(line: string, number: number, path: string): readonly [string, string] {
  const at = line.indexOf(' ');
  if (at <= 0 || at === line.length - 1 || line.indexOf(' ', at + 1) >= 0) {
    throw new MendsetError(
      'corrupt',
      `Expected two tokens and one space as merge ${number} of '${path}' but found ${JSON.stringify(line)}.`,
    );
  }
  return [line.slice(0, at), line.slice(at + 1)];
}

/** The id of the end-of-text token: the named one, else the usual spelling, else null. */
export function findEos(named: string | null, idOf: (content: string) => number | undefined): number | null {
  for (const content of named === null ? ['<|endoftext|>'] : [named, '<|endoftext|>']) {
    const id = idOf(content);
    if (id !== undefined) return id;
  }
  return null;
}

/** A byte-level vocabulary holds single bytes in the byte alphabet; without them the file is of another kind. */
export function requireByteAlphabet(vocabulary: ReadonlyMap<string, number>, path: string): void {
  for (let byte = 0; byte < 256; byte++) if (vocabulary.has(byteToCharacter(byte))) return;
  throw new MendsetError(
    'unsupported',
    `Expected the vocabulary of a byte-level BPE in '${path}' but it holds no single byte; only byte-level BPE tokenizers (GPT-2, GPT-Neo, GPT-NeoX) are read, so give pre-tokenised data instead.`,
  );
}

/** The older pair of files, as GPT-2 published them (`encoder.json` and `vocab.bpe`). */
export function parseVocabularyFiles(
  vocabularyFile: { readonly path: string; readonly json: unknown },
  mergesFile: { readonly path: string; readonly text: string },
  addedFile: { readonly path: string; readonly json: unknown } | null,
  eosContent: string | null,
): Omit<ByteLevelBpeParts, 'hash'> {
  const vocabulary = parseVocabulary(vocabularyFile.json, vocabularyFile.path);
  requireByteAlphabet(vocabulary, vocabularyFile.path);
  const lines = mergesFile.text.split('\n').map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  const pairs = lines
    .filter((line, i) => line !== '' && !(i === 0 && line.startsWith('#version')))
    .map((line, i) => splitMerge(line, i + 1, mergesFile.path));
  const merges = resolveMerges(pairs, vocabulary, mergesFile.path);

  const contents = new Map<string, number>();
  if (addedFile !== null) for (const [content, id] of parseVocabulary(addedFile.json, addedFile.path)) contents.set(content, id);
  for (const content of ['<|endoftext|>', eosContent]) {
    const id = content === null ? undefined : vocabulary.get(content);
    if (content !== null && id !== undefined) contents.set(content, id);
  }
  const addedTokens: AddedToken[] = [...contents].map(([content, id]) => ({
    id,
    content,
    normalized: false,
    singleWord: false,
    lstrip: false,
    rstrip: false,
  }));
  return {
    vocabulary,
    merges,
    addedTokens,
    normalForms: [],
    addPrefixSpace: false,
    splitWords: true,
    unknown: null,
    eos: findEos(eosContent, (content) => contents.get(content) ?? vocabulary.get(content)),
  };
}
