import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MendsetError } from '../core/errors.ts';
import { writeFileAtomic } from '../core/files.ts';
import { sha256Hex } from '../core/hash.ts';
import type { RunOptions } from '../core/run-options.ts';
import type { LanguageModel } from '../model/language-model.ts';

/** Rates texts in [0, 1]; null where it could not. */
export type TextScoring = (texts: readonly string[], options?: RunOptions) => Promise<readonly (number | null)[]>;

export interface GenerateNormalOptions {
  /** Texts to sample; the papers keep about 15,000 */
  readonly count: number;
  /** Default 202 */
  readonly seed?: number | undefined;
  /** With it, texts rated above 0.5 are dropped */
  readonly score?: TextScoring | undefined;
  /** Part of the cache key: who scores */
  readonly scorerHash?: string | undefined;
  /** Folder for the sampled ids, keyed by model hash, seed and count */
  readonly cacheDirectory?: string | undefined;
}

export interface NormalTexts {
  readonly ids: readonly Int32Array[];
  /** null for a model without a tokenizer */
  readonly texts: readonly string[] | null;
  readonly sampled: number;
  readonly toxicDropped: number;
  readonly shortDropped: number;
  readonly cached: boolean;
}

/** A text of at most 101 tokens counts the end-of-text token it started from. */
const NEW_TOKENS = 100;
const TOXIC_ABOVE = 0.5;

/**
 * Unconditional samples of the model, from the end-of-text token, nucleus 0.9, temperature 1: the normal data D_N of the KL term.
 * Texts of fewer than two tokens are dropped, and so are toxic ones when a scoring function is given.
 *
 * @throws MendsetError `invalid-argument`, `invalid-data` (a model without end-of-text token), `corrupt` (cache), `aborted`
 * @example
 * const { texts } = await generateNormal(model, { count: 2000, seed: 202 });
 */
export async function generateNormal(model: LanguageModel, options: GenerateNormalOptions & RunOptions): Promise<NormalTexts> {
  const { count, seed = 202, score, signal, onProgress } = options;
  if (!Number.isSafeInteger(count) || count < 2 || count > 2 ** 22) {
    throw new MendsetError('invalid-argument', `Expected the number of normal texts to be between 2 and ${2 ** 22} but received ${count}.`);
  }
  const { eos, context } = model.summary;
  if (eos < 0) {
    throw new MendsetError(
      'invalid-data',
      'Expected a model with an end-of-text token to sample normal texts from: give data.normal instead.',
    );
  }
  const key = sha256Hex(JSON.stringify(['normal', 1, model.hash, seed, count, score ? (options.scorerHash ?? 'scored') : null]));
  const path =
    options.cacheDirectory !== undefined && model.hash !== null ? join(options.cacheDirectory, `normal-${key.slice(0, 32)}.json`) : null;
  const cached = path === null ? null : await readCache(path);
  if (cached) return { ...cached, texts: decodeAll(model, cached.ids), cached: true };

  const maxNewTokens = Math.min(NEW_TOKENS, context - 1);
  const completions = await model.generate(
    Array.from({ length: count }, () => Int32Array.of(eos)),
    { maxNewTokens, topP: 0.9, temperature: 1, seed, signal, onProgress },
  );
  const long = completions.map((c) => c.ids).filter((ids) => ids.length >= 2);
  let kept = long;
  if (score) {
    model.requireTokenizer();
    const scores = await score(decodeAll(model, long) as string[], { signal, onProgress });
    kept = long.filter((_, i) => !((scores[i] ?? 0) > TOXIC_ABOVE));
  }
  const result = { ids: kept, sampled: count, toxicDropped: long.length - kept.length, shortDropped: count - long.length };
  if (path !== null && options.cacheDirectory !== undefined) {
    await mkdir(options.cacheDirectory, { recursive: true });
    await writeFileAtomic(path, JSON.stringify({ ...result, ids: kept.map((ids) => [...ids]) }));
  }
  return { ...result, texts: decodeAll(model, kept), cached: false };
}

function decodeAll(model: LanguageModel, ids: readonly Int32Array[]): string[] | null {
  const tokenizer = model.tokenizer;
  return tokenizer ? ids.map((row) => tokenizer.decode(row)) : null;
}

async function readCache(path: string): Promise<Omit<NormalTexts, 'texts' | 'cached'> | null> {
  const text = await readFile(path, 'utf8').catch(() => null);
  if (text === null) return null;
  try {
    const stored = JSON.parse(text) as { ids: number[][]; sampled: number; toxicDropped: number; shortDropped: number };
    return { ...stored, ids: stored.ids.map((row) => Int32Array.from(row)) };
  } catch (error) {
    throw new MendsetError('corrupt', `Expected normal texts in ${path} but it is not readable: delete the file to sample them again.`, {
      cause: error,
    });
  }
}
