import { MendsetError } from '../core/errors.ts';
import { type AddedToken, AddedTokenFinder } from './added-tokens.ts';
import { symbolsToBytes } from './byte-level.ts';
import type { Decoder } from './decoder.ts';
import { IdList } from './id-list.ts';
import type { Normalizer } from './normalizer.ts';
import { chosenSpecials, type SurroundingTokens } from './post-processor.ts';
import type { PreTokenizer } from './pre-tokenizer.ts';
import type { StoredLimits } from './stored-limits.ts';
import type { EncodeOptions, Tokenizer } from './tokenizer.ts';
import type { WordModel } from './word-model.ts';

/** What a tokenizer is made of, free of any file format. */
export interface PipelineParts {
  readonly kind: string;
  /** Token text -> id */
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly addedTokens: readonly AddedToken[];
  readonly normalizer: Normalizer | null;
  readonly preTokenizer: PreTokenizer | null;
  readonly model: WordModel;
  readonly decoder: Decoder | 'bytes' | null;
  readonly surrounding: SurroundingTokens;
  readonly stored: StoredLimits;
  readonly eos: number | null;
  readonly hash: string;
}

const cacheEntries = 1 << 16;
const cachedWordLength = 48;
const loneSurrogate = /\p{Surrogate}/u;
const loneSurrogates = /\p{Surrogate}/gu;

/**
 * The stages of a `tokenizer.json`: added tokens are cut out, the text between them is normalised, cut into words, and each word is
 * given to the model. The same ids as the Rust `tokenizers` library.
 */
export class PipelineTokenizer implements Tokenizer {
  readonly vocabularySize: number;
  readonly eos: number | null;
  readonly hash: string;
  readonly kind: string;
  private readonly textOf = new Map<number, string>();
  private readonly bytesOf = new Map<number, Uint8Array>();
  private readonly raw: AddedTokenFinder;
  private readonly normalized: AddedTokenFinder;
  private readonly parts: PipelineParts;
  private readonly cache = new Map<string, Int32Array>();
  private readonly decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  constructor(parts: PipelineParts) {
    this.parts = parts;
    this.hash = parts.hash;
    this.eos = parts.eos;
    this.kind = parts.kind;
    for (const [token, id] of parts.vocabulary) this.textOf.set(id, token);
    for (const token of parts.addedTokens) this.textOf.set(token.id, token.content);
    this.vocabularySize = this.textOf.size;
    const normalize = parts.normalizer ?? ((text: string): string => text);
    this.raw = new AddedTokenFinder(
      parts.addedTokens.filter((token) => !token.normalized),
      (text) => text,
    );
    this.normalized = new AddedTokenFinder(
      parts.addedTokens.filter((token) => token.normalized),
      normalize,
    );
  }

  encode(text: string, options: EncodeOptions = {}): Int32Array {
    const { before, behind } = chosenSpecials(this.parts.surrounding, options.specials);
    const { stored } = this.parts;
    const limit = options.maxLength === 'stored' ? stored.maxLength : (options.maxLength ?? null);
    const room = limit === null ? Number.POSITIVE_INFINITY : limit - before.length - behind.length;
    if (!(room >= 0)) {
      throw new MendsetError(
        'invalid-argument',
        `Expected room for the ${before.length + behind.length} special tokens but received a length of ${String(limit)}.`,
      );
    }
    const ids = new IdList(text.length >> 1);
    ids.appendAll(before);
    const start = ids.length;
    this.encodeAll(text, ids);
    if (ids.length - start > room) ids.keep(start, room, options.maxLength === 'stored' && stored.cutsStart);
    ids.appendAll(behind);
    if (options.padding === 'stored') stored.pad(ids);
    return ids.toArray();
  }

  /** Broken UTF-8 becomes U+FFFD; ids that the vocabulary lacks stand for nothing, as in the reference. */
  decode(ids: ArrayLike<number>): string {
    const { decoder } = this.parts;
    if (decoder === 'bytes') {
      // The bytes of a character may be spread over tokens, so all are decoded at once
      const pieces = Array.from(ids, (id) => this.bytes(id));
      return this.decoder.decode(Buffer.concat(pieces));
    }
    const tokens = Array.from(ids, (id) => this.textOf.get(id)).filter((token) => token !== undefined);
    return decoder === null ? tokens.join(' ') : decoder(tokens).join('');
  }

  private bytes(id: number): Uint8Array {
    let bytes = this.bytesOf.get(id);
    if (bytes === undefined) {
      const text = this.textOf.get(id);
      bytes = text === undefined ? new Uint8Array(0) : symbolsToBytes(text);
      if (text !== undefined) this.bytesOf.set(id, bytes);
    }
    return bytes;
  }

  private encodeAll(given: string, ids: IdList): void {
    const { normalizer } = this.parts;
    // The reference knows no lone surrogates; as UTF-8 they are U+FFFD
    const text = loneSurrogate.test(given) ? given.replace(loneSurrogates, '\ufffd') : given;
    let first = true;
    for (const outer of this.raw.split(text)) {
      if ('id' in outer) ids.append(outer.id);
      else {
        for (const inner of this.normalized.split(normalizer === null ? outer.text : normalizer(outer.text))) {
          if ('id' in inner) ids.append(inner.id);
          else this.encodeText(inner.text, first, ids);
          first = false;
        }
      }
      first = false;
    }
  }

  private encodeText(text: string, first: boolean, ids: IdList): void {
    const { preTokenizer, model } = this.parts;
    for (const word of preTokenizer === null ? [text] : preTokenizer([text], first)) {
      let found = this.cache.get(word);
      if (found === undefined) {
        found = model.encodeWord(word);
        if (word.length <= cachedWordLength) {
          if (this.cache.size >= cacheEntries) this.cache.clear();
          this.cache.set(word, found);
        }
      }
      ids.appendAll(found);
    }
  }
}
