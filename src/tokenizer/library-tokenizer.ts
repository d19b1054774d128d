import { MendsetError } from '../core/errors.ts';
import { IdList } from './id-list.ts';
import { chosenSpecials, type SurroundingTokens } from './post-processor.ts';
import type { StoredLimits } from './stored-limits.ts';
import type { EncodeOptions, Tokenizer } from './tokenizer.ts';
import type { Json } from './tokenizer-json.ts';

export interface LibraryParts {
  readonly json: Json;
  readonly settings: Json;
  readonly path: string;
  /** What this package has no implementation of, for `kind` */
  readonly reason: string;
  readonly stored: StoredLimits;
  readonly eosContent: string | null;
  readonly hash: string;
}

/**
 * A tokenizer of a kind that this package does not implement (Unigram and rarer steps), run by `@huggingface/tokenizers`. Its ids
 * differ from the Rust library's beside U+FEFF and U+0085, and it is some ten times slower than the own implementations.
 */
export async function libraryTokenizer(parts: LibraryParts): Promise<Tokenizer> {
  const { Tokenizer: Library } = await import('@huggingface/tokenizers');
  const { json, path, reason, stored } = parts;
  let library: InstanceType<typeof Library>;
  let surrounding: SurroundingTokens;
  try {
    library = new Library({ ...json, truncation: null, padding: null }, parts.settings);
    surrounding = surroundingOf(library);
  } catch (error) {
    throw new MendsetError(
      'unsupported',
      `${reason} @huggingface/tokenizers, which is asked then, cannot read '${path}' either (${(error as Error).message}); give pre-tokenised data instead.`,
      { cause: error },
    );
  }
  const encodePlain = (text: string): number[] => (text === '' ? [] : library.encode(text, { add_special_tokens: false }).ids);
  return {
    vocabularySize: library.get_vocab(true).size,
    eos: (parts.eosContent === null ? undefined : library.token_to_id(parts.eosContent)) ?? library.token_to_id('<|endoftext|>') ?? null,
    hash: parts.hash,
    kind: `@huggingface/tokenizers (${kindOf(json)})`,
    encode(text: string, options: EncodeOptions = {}): Int32Array {
      const { before, behind } = chosenSpecials(surrounding, options.specials);
      const limit = options.maxLength === 'stored' ? stored.maxLength : (options.maxLength ?? null);
      const ids = new IdList(text.length >> 1);
      ids.appendAll(before);
      ids.appendAll(encodePlain(text));
      const room = limit === null ? Number.POSITIVE_INFINITY : Math.max(0, limit - before.length - behind.length);
      if (ids.length - before.length > room) ids.keep(before.length, room, options.maxLength === 'stored' && stored.cutsStart);
      ids.appendAll(behind);
      if (options.padding === 'stored') stored.pad(ids);
      return ids.toArray();
    },
    decode: (ids: ArrayLike<number>): string =>
      ids.length === 0 ? '' : library.decode(Array.from(ids), { skip_special_tokens: false, clean_up_tokenization_spaces: false }),
  };
}

/** The library adds special tokens to a text as a whole; what it puts around a word is what it puts around any text. */
function surroundingOf(library: { encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] } }): SurroundingTokens {
  const plain = library.encode('a', { add_special_tokens: false }).ids;
  const whole = library.encode('a', { add_special_tokens: true }).ids;
  const count = whole.length - plain.length;
  for (let before = 0; before <= count; before++) {
    if (plain.every((id, i) => whole[before + i] === id))
      return { before: whole.slice(0, before), behind: whole.slice(before + plain.length) };
  }
  throw new Error('its special tokens do not surround the text');
}

function kindOf(json: Json): string {
  const model = json['model'] as Json | null | undefined;
  return typeof model?.['type'] === 'string' ? model['type'] : 'unknown model';
}
