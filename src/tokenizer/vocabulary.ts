import { MendsetError } from '../core/errors.ts';

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

/**
 * Turns pairs of token texts into ids, checking that both parts and the whole are in the vocabulary. The right part of a pair stands
 * in the whole without its continuing prefix.
 */
export function resolveMerges(
  pairs: Iterable<readonly [string, string]>,
  vocabulary: ReadonlyMap<string, number>,
  path: string,
  continuingPrefix = '',
): [number, number, number][] {
  const merges: [number, number, number][] = [];
  for (const [left, right] of pairs) {
    const whole = left + right.slice(continuingPrefix.length);
    const ids = [vocabulary.get(left), vocabulary.get(right), vocabulary.get(whole)] as const;
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
