import { MendsetError } from '../core/errors.ts';
import type { AddedToken } from './added-tokens.ts';
import { ByteLevelBpe } from './byte-level-bpe.ts';
import { CharacterBpe } from './character-bpe.ts';
import { parseDecoder } from './decoder.ts';
import { parseNormalizer } from './normalizer.ts';
import type { PipelineParts } from './pipeline-tokenizer.ts';
import { parsePostProcessor } from './post-processor.ts';
import { cutAt, type PreTokenization, type PreTokenizer, parsePreTokenizer } from './pre-tokenizer.ts';
import { parseStoredLimits } from './stored-limits.ts';
import { asList, asObject, type Json, refuse } from './tokenizer-json.ts';
import { parseVocabulary, resolveMerges, splitMerge } from './vocabulary.ts';
import { WordPiece } from './word-piece.ts';

/**
 * Reads the parsed content of a Hugging Face `tokenizer.json`: BPE over bytes or characters and WordPiece, with their normalisers,
 * pre-tokenisers, post-processors and decoders. Throws `unsupported` naming the kind that has no implementation here, `corrupt` for
 * contradictions.
 */
export function parseTokenizerJson(json: unknown, path: string, eosContent: string | null): Omit<PipelineParts, 'hash'> {
  const root = asObject(json, path, 'the file');
  const model = asObject(root['model'], path, '`model`');
  // Files written before the field existed carry no type; their merges tell
  const type = model['type'] ?? (Array.isArray(model['merges']) ? 'BPE' : 'unknown');
  if (type !== 'BPE' && type !== 'WordPiece') throw refuse(path, `a ${String(type)} model`);
  const vocabulary = parseVocabulary(model['vocab'], path);
  const addedTokens = parseAddedTokens(root['added_tokens'], path);
  const cut = parsePreTokenizer(root['pre_tokenizer'], path);
  const rest = {
    vocabulary,
    addedTokens,
    normalizer: parseNormalizer(root['normalizer'], path),
    decoder: parseDecoder(root['decoder'], path) ?? (cut.bytes ? 'bytes' : null),
    surrounding: parsePostProcessor(root['post_processor'], path),
    stored: parseStoredLimits(root, path),
    eos: findEos(eosContent, (content) => addedTokens.find((token) => token.content === content)?.id ?? vocabulary.get(content)),
  } as const;
  if (type === 'WordPiece') {
    if (cut.bytes) throw refuse(path, 'a WordPiece model over bytes');
    return { ...rest, kind: 'WordPiece', preTokenizer: cut.split, model: parseWordPiece(model, vocabulary, path) };
  }
  return { ...rest, ...parseBpe(model, vocabulary, cut, path) };
}

function parseWordPiece(model: Json, vocabulary: ReadonlyMap<string, number>, path: string): WordPiece {
  const name = String(model['unk_token'] ?? '[UNK]');
  const unknown = vocabulary.get(name);
  if (unknown === undefined) {
    throw new MendsetError(
      'corrupt',
      `Expected the unknown token ${JSON.stringify(name)} in the vocabulary of '${path}' but it is not there.`,
    );
  }
  return new WordPiece({
    vocabulary,
    unknown,
    continuingPrefix: String(model['continuing_subword_prefix'] ?? '##'),
    longestWord: typeof model['max_input_chars_per_word'] === 'number' ? model['max_input_chars_per_word'] : 100,
  });
}

function parseBpe(
  model: Json,
  vocabulary: ReadonlyMap<string, number>,
  cut: PreTokenization,
  path: string,
): Pick<PipelineParts, 'kind' | 'preTokenizer' | 'model'> {
  if (typeof model['dropout'] === 'number' && model['dropout'] > 0) throw refuse(path, 'a BPE with dropout');
  const continuingPrefix = String(model['continuing_subword_prefix'] ?? '');
  const endSuffix = String(model['end_of_word_suffix'] ?? '');
  const byteFallback = model['byte_fallback'] === true;
  const pairs = asList(model['merges'], path, '`model.merges`').map((merge, i): readonly [string, string] => {
    if (typeof merge === 'string') return splitMerge(merge, i + 1, path);
    if (Array.isArray(merge) && merge.length === 2 && typeof merge[0] === 'string' && typeof merge[1] === 'string')
      return [merge[0], merge[1]];
    throw new MendsetError('corrupt', `Expected two tokens as merge ${i + 1} of '${path}' but found ${JSON.stringify(merge)}.`);
  });
  const unknownToken = model['unk_token'];
  const shared = {
    vocabulary,
    merges: resolveMerges(pairs, vocabulary, path, continuingPrefix),
    unknown: typeof unknownToken === 'string' ? (vocabulary.get(unknownToken) ?? null) : null,
    ignoreMerges: model['ignore_merges'] === true,
  };
  if (cut.bytes) {
    if (continuingPrefix !== '' || endSuffix !== '' || byteFallback)
      throw refuse(path, 'a byte-level BPE with prefixes, suffixes or byte fallback');
    return { kind: 'byte-level BPE', preTokenizer: cut.split, model: new ByteLevelBpe(shared) };
  }
  return {
    kind: byteFallback ? 'BPE with byte fallback' : 'BPE',
    preTokenizer: cut.split ?? (shared.ignoreMerges ? null : splitAtMarks(vocabulary)),
    model: new CharacterBpe({ ...shared, fuseUnknown: model['fuse_unk'] === true, byteFallback, continuingPrefix, endSuffix }),
  };
}

const mark = '▁';
const marked = /▁*[^▁]+|▁+/gu;

/**
 * Where no token holds a word mark behind another character, no merge can reach over such a place, so a text may be cut there without
 * changing any id: short words come from the cache, and a long text costs what its words cost. null where that does not hold.
 */
function splitAtMarks(vocabulary: ReadonlyMap<string, number>): PreTokenizer | null {
  if (!vocabulary.has(mark)) return null;
  for (const token of vocabulary.keys()) if (/[^▁]▁/u.test(token)) return null;
  return (texts) => texts.flatMap((text) => cutAt(text, marked, 'Isolated', false));
}

function parseAddedTokens(json: unknown, path: string): AddedToken[] {
  if (json === null || json === undefined) return [];
  return asList(json, path, '`added_tokens`').map((entry, i) => {
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

/** The id of the end-of-text token: the named one, else the usual spelling, else null. */
function findEos(named: string | null, idOf: (content: string) => number | undefined): number | null {
  for (const content of named === null ? ['<|endoftext|>'] : [named, '<|endoftext|>']) {
    const id = idOf(content);
    if (id !== undefined) return id;
  }
  return null;
}
