import { join } from 'node:path';

import { MendsetError } from '../core/errors.ts';
import { pathKind, readBytes } from '../core/files.ts';
import { sha256Files } from '../core/hash.ts';
import { ByteLevelBpe } from './byte-level-bpe.ts';
import { parseTokenizerJson } from './parse-tokenizer-json.ts';
import { parseVocabularyFiles } from './parse-vocabulary-files.ts';
import type { Tokenizer } from './tokenizer.ts';

/** The files a tokenizer is read from; a checkpoint that is saved takes those that exist along. */
export const TOKENIZER_FILES: readonly string[] = [
  'tokenizer.json',
  'vocab.json',
  'merges.txt',
  'added_tokens.json',
  'special_tokens_map.json',
  'tokenizer_config.json',
];

/**
 * Reads the byte-level BPE of a model folder: `tokenizer.json`, else `vocab.json` with `merges.txt`. Truncation and padding stored
 * in the file are ignored. With `optional` a folder without these files gives null.
 * Throws `not-found`, `corrupt` for a file that contradicts itself and `unsupported` for another kind of tokenizer.
 *
 * @example
 * const ids = (await loadTokenizer('gpt2')).encode('Once upon a time');
 */
export function loadTokenizer(directory: string, options?: { readonly optional?: false }): Promise<Tokenizer>;
export function loadTokenizer(directory: string, options: { readonly optional: boolean }): Promise<Tokenizer | null>;
export async function loadTokenizer(directory: string, options: { readonly optional?: boolean } = {}): Promise<Tokenizer | null> {
  const kind = await pathKind(directory);
  if (kind === 'file') {
    throw new MendsetError(
      'invalid-argument',
      `Expected a folder with tokenizer files at '${directory}' but it is a file; name the folder.`,
    );
  }
  const path = join(directory, 'tokenizer.json');
  const eosContent = await readEosContent(directory);
  if (await isFile(path)) {
    const parts = parseTokenizerJson(await readJson(path), path, eosContent);
    return new ByteLevelBpe({ ...parts, hash: await sha256Files([path]) });
  }
  const vocabulary = join(directory, 'vocab.json');
  const merges = join(directory, 'merges.txt');
  if ((await isFile(vocabulary)) && (await isFile(merges))) {
    const added = join(directory, 'added_tokens.json');
    const hasAdded = await isFile(added);
    const parts = parseVocabularyFiles(
      { path: vocabulary, json: await readJson(vocabulary) },
      { path: merges, text: (await readBytes(merges)).toString('utf8') },
      hasAdded ? { path: added, json: await readJson(added) } : null,
      eosContent,
    );
    return new ByteLevelBpe({ ...parts, hash: await sha256Files(hasAdded ? [vocabulary, merges, added] : [vocabulary, merges]) });
  }
  if (options.optional === true) return null;
  throw new MendsetError(
    'not-found',
    kind === 'none'
      ? `Expected a folder with tokenizer files at '${directory}' but there is none; check the path.`
      : `Expected tokenizer.json, or vocab.json and merges.txt, in '${directory}' but found neither; copy the tokenizer files there or use pre-tokenised data.`,
  );
}

/** A folder of that name is a mistake to be told, not an absent file. */
async function isFile(path: string): Promise<boolean> {
  const kind = await pathKind(path);
  if (kind === 'folder') throw new MendsetError('invalid-data', `Expected '${path}' to be a file but it is a folder.`);
  return kind === 'file';
}

async function readJson(path: string): Promise<unknown> {
  const text = (await readBytes(path)).toString('utf8');
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new MendsetError(
      'corrupt',
      `Expected JSON in '${path}' but it does not parse (${(error as Error).message}); fetch the file again.`,
      { cause: error },
    );
  }
}

/** The text of the end-of-text token, where a file beside the tokenizer names it. */
async function readEosContent(directory: string): Promise<string | null> {
  for (const name of ['tokenizer_config.json', 'special_tokens_map.json']) {
    const path = join(directory, name);
    if ((await pathKind(path)) !== 'file') continue;
    const token = ((await readJson(path)) as { eos_token?: unknown } | null)?.eos_token;
    if (typeof token === 'string') return token;
    const content = (token as { content?: unknown } | null | undefined)?.content;
    if (typeof content === 'string') return content;
  }
  return null;
}
