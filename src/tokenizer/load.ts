import { join } from 'node:path';

import { MendsetError } from '../core/errors.ts';
import { pathKind, readBytes } from '../core/files.ts';
import { sha256Files, sha256Hex } from '../core/hash.ts';
import { modelFolder } from '../data/hub/model-folder.ts';
import { libraryTokenizer } from './library-tokenizer.ts';
import { byteLevelJson, wordPieceJson } from './older-files.ts';
import { parseTokenizerJson } from './parse-tokenizer-json.ts';
import { PipelineTokenizer } from './pipeline-tokenizer.ts';
import { readJson } from './read-json.ts';
import { readSpecialTokens, type SpecialTokens } from './special-tokens.ts';
import { parseStoredLimits } from './stored-limits.ts';
import type { Tokenizer } from './tokenizer.ts';
import { asObject } from './tokenizer-json.ts';

/** The files a tokenizer is read from or that belong to it; a checkpoint that is saved takes those that exist along. */
export const TOKENIZER_FILES: readonly string[] = [
  'tokenizer.json',
  'vocab.json',
  'merges.txt',
  'vocab.txt',
  'added_tokens.json',
  'special_tokens_map.json',
  'tokenizer_config.json',
  'tokenizer.model',
  'chat_template.jinja',
];

/**
 * Reads the tokenizer of a model folder or of `hf:owner/name[@revision]`: `tokenizer.json`, else `vocab.json` with `merges.txt` (GPT-2, RoBERTa), else `vocab.txt`
 * (BERT). Byte-level BPE (GPT-2, NeoX, Llama 3, Qwen), BPE over characters with byte fallback (Llama 2, Mistral, Gemma) and WordPiece
 * are implemented here; other kinds are run by `@huggingface/tokenizers`, and `kind` says so. Truncation and padding stored in the
 * file are ignored unless `encode` is asked for them. With `optional` a folder without these files gives null.
 * Throws `not-found`, `corrupt` for a file that contradicts itself and `unsupported` for a kind that neither can read.
 *
 * @example
 * const ids = (await loadTokenizer('gpt2')).encode('Once upon a time');
 */
export function loadTokenizer(directory: string, options?: { readonly optional?: false }): Promise<Tokenizer>;
export function loadTokenizer(directory: string, options: { readonly optional: boolean }): Promise<Tokenizer | null>;
export async function loadTokenizer(path: string, options: { readonly optional?: boolean } = {}): Promise<Tokenizer | null> {
  const directory = await modelFolder(path, { part: 'tokenizer' });
  const kind = await pathKind(directory);
  if (kind === 'file') {
    throw new MendsetError(
      'invalid-argument',
      `Expected a folder with tokenizer files at '${directory}' but it is a file; name the folder.`,
    );
  }
  const special = await readSpecialTokens(directory);
  const file = join(directory, 'tokenizer.json');
  if (await isFile(file)) return fromJson(await readJson(file), file, special, await sha256Files([file]));

  const vocabulary = join(directory, 'vocab.json');
  const merges = join(directory, 'merges.txt');
  if ((await isFile(vocabulary)) && (await isFile(merges))) {
    const added = join(directory, 'added_tokens.json');
    const hasAdded = await isFile(added);
    const json = byteLevelJson(
      { path: vocabulary, json: await readJson(vocabulary) },
      (await readBytes(merges)).toString('utf8'),
      hasAdded ? { path: added, json: await readJson(added) } : null,
      special,
    );
    const files = await sha256Files(hasAdded ? [vocabulary, merges, added] : [vocabulary, merges]);
    const surrounded = json['post_processor'] === null ? files : sha256Hex([files, JSON.stringify(json['post_processor'])]);
    return fromJson(json, merges, special, surrounded);
  }
  const words = join(directory, 'vocab.txt');
  if (await isFile(words)) {
    const json = wordPieceJson((await readBytes(words)).toString('utf8'), special);
    const settings = JSON.stringify([json['normalizer'], json['post_processor']]);
    return fromJson(json, words, special, sha256Hex([await sha256Files([words]), settings]));
  }
  if (options.optional === true) return null;
  throw new MendsetError(
    'not-found',
    kind === 'none'
      ? `Expected a folder with tokenizer files at '${directory}' but there is none; check the path.`
      : `Expected tokenizer.json, vocab.json and merges.txt, or vocab.txt in '${directory}' but found none; copy the tokenizer files there or use pre-tokenised data.`,
  );
}

async function fromJson(json: unknown, path: string, special: SpecialTokens, hash: string): Promise<Tokenizer> {
  const eosContent = special.tokens.get('eos_token')?.content ?? null;
  try {
    return new PipelineTokenizer({ ...parseTokenizerJson(json, path, eosContent), hash });
  } catch (error) {
    if (!(error instanceof MendsetError) || error.code !== 'unsupported') throw error;
    const root = asObject(json, path, 'the file');
    const stored = parseStoredLimits(root, path);
    return libraryTokenizer({ json: root, settings: special.settings, path, reason: error.message, stored, eosContent, hash });
  }
}

/** A folder of that name is a mistake to be told, not an absent file. */
async function isFile(path: string): Promise<boolean> {
  const kind = await pathKind(path);
  if (kind === 'folder') throw new MendsetError('invalid-data', `Expected '${path}' to be a file but it is a folder.`);
  return kind === 'file';
}
