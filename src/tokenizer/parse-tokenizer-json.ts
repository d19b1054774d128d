import { MendsetError } from '../core/errors.ts';
import type { AddedToken } from './added-tokens.ts';
import type { ByteLevelBpeParts, NormalForm } from './byte-level-bpe.ts';
import { findEos, parseVocabulary, requireByteAlphabet, resolveMerges, splitMerge } from './parse-vocabulary-files.ts';

type Json = Readonly<Record<string, unknown>>;

const supported =
  'only byte-level BPE with a ByteLevel pre-tokeniser and no or a Unicode normaliser (GPT-2, GPT-Neo, GPT-NeoX) is read, so give pre-tokenised data instead';

/**
 * Reads the parsed content of a Hugging Face `tokenizer.json`. `truncation`, `padding` and `post_processor` are not used: no
 * special tokens are added and nothing is cut. Throws `unsupported` naming the kind, `corrupt` for contradictions.
 */
export function parseTokenizerJson(json: unknown, path: string, eosContent: string | null): Omit<ByteLevelBpeParts, 'hash'> {
  const root = asObject(json, path, 'the file');
  const model = asObject(root['model'], path, '`model`');
  // Files written before the field existed carry no type; their merges tell
  const type = model['type'] ?? (Array.isArray(model['merges']) ? 'BPE' : 'unknown');
  if (type !== 'BPE') throw refuse(path, `a ${String(type)} model`);
  if (typeof model['continuing_subword_prefix'] === 'string' && model['continuing_subword_prefix'] !== '') {
    throw refuse(path, `a BPE with the continuing prefix ${JSON.stringify(model['continuing_subword_prefix'])}`);
  }
  if (typeof model['end_of_word_suffix'] === 'string' && model['end_of_word_suffix'] !== '') {
    throw refuse(path, `a BPE with the end-of-word suffix ${JSON.stringify(model['end_of_word_suffix'])}`);
  }
  if (model['byte_fallback'] === true) throw refuse(path, 'a BPE with byte fallback');
  if (model['ignore_merges'] === true) throw refuse(path, 'a BPE that ignores merges');
  if (typeof model['dropout'] === 'number' && model['dropout'] > 0) throw refuse(path, 'a BPE with dropout');

  const preTokenizer = root['pre_tokenizer'];
  const kind = preTokenizer === null || preTokenizer === undefined ? 'none' : asObject(preTokenizer, path, '`pre_tokenizer`')['type'];
  if (kind !== 'ByteLevel')
    throw refuse(path, `a BPE with ${kind === 'none' ? 'no pre-tokeniser' : `a ${describeKind(preTokenizer as Json)} pre-tokeniser`}`);
  const byteLevel = preTokenizer as Json;

  const vocabulary = parseVocabulary(model['vocab'], path);
  requireByteAlphabet(vocabulary, path);
  if (!Array.isArray(model['merges']))
    throw new MendsetError('corrupt', `Expected a list as \`model.merges\` in '${path}' but found ${typeof model['merges']}.`);
  const pairs = (model['merges'] as unknown[]).map((merge, i): readonly [string, string] => {
    if (typeof merge === 'string') return splitMerge(merge, i + 1, path);
    if (Array.isArray(merge) && merge.length === 2 && typeof merge[0] === 'string' && typeof merge[1] === 'string')
      return [merge[0], merge[1]];
    throw new MendsetError('corrupt', `Expected two tokens as merge ${i + 1} of '${path}' but found ${JSON.stringify(merge)}.`);
  });
  const addedTokens = parseAddedTokens(root['added_tokens'], path);
  const unknownToken = model['unk_token'];
  return {
    vocabulary,
    merges: resolveMerges(pairs, vocabulary, path),
    addedTokens,
    normalForms: parseNormalizer(root['normalizer'], path),
    addPrefixSpace: byteLevel['add_prefix_space'] !== false,
    splitWords: byteLevel['use_regex'] !== false,
    unknown: typeof unknownToken === 'string' ? (vocabulary.get(unknownToken) ?? null) : null,
    eos: findEos(eosContent, (content) => addedTokens.find((token) => token.content === content)?.id ?? vocabulary.get(content)),
  };
}

function parseNormalizer(json: unknown, path: string): NormalForm[] {
  if (json === null || json === undefined) return [];
  const normalizer = asObject(json, path, '`normalizer`');
  const type = normalizer['type'];
  if (type === 'NFC' || type === 'NFD' || type === 'NFKC' || type === 'NFKD') return [type];
  if (type === 'Sequence' && Array.isArray(normalizer['normalizers']))
    return normalizer['normalizers'].flatMap((step) => parseNormalizer(step, path));
  throw refuse(path, `a BPE with a ${String(type)} normaliser`);
}

function parseAddedTokens(json: unknown, path: string): AddedToken[] {
  if (json === null || json === undefined) return [];
  if (!Array.isArray(json)) throw new MendsetError('corrupt', `Expected a list as \`added_tokens\` in '${path}' but found ${typeof json}.`);
  return json.map((entry, i) => {
    const token = asObject(entry, path, `added token ${i + 1}`);
    const id = token['id'];
    const content = token['content'];
    if (typeof content !== 'string' || typeof id !== 'number' || !Number.isSafeInteger(id) || id < 0) {
      throw new MendsetError(
        'corrupt',
        `Expected an id and a text as added token ${i + 1} of '${path}' but found ${JSON.stringify(entry)}.`,
      );
    }
    return {
      id,
      content,
      // Absent in old files: special tokens were not normalised, others were
      normalized: typeof token['normalized'] === 'boolean' ? token['normalized'] : token['special'] !== true,
      singleWord: token['single_word'] === true,
      lstrip: token['lstrip'] === true,
      rstrip: token['rstrip'] === true,
    };
  });
}

function describeKind(json: Json): string {
  const parts = json['pretokenizers'];
  if (!Array.isArray(parts)) return String(json['type']);
  return `${String(json['type'])} (${parts.map((part) => String((part as Json | null)?.['type'])).join(', ')})`;
}

function asObject(json: unknown, path: string, what: string): Json {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new MendsetError(
      'corrupt',
      `Expected an object as ${what} in '${path}' but found ${json === null ? 'null' : Array.isArray(json) ? 'a list' : typeof json}; is it a tokenizer.json?`,
    );
  }
  return json as Json;
}

function refuse(path: string, kind: string): MendsetError {
  return new MendsetError('unsupported', `'${path}' holds ${kind}, which is not supported: ${supported}.`);
}
