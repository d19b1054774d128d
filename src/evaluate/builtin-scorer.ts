import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';

import { readBytes } from '../core/files.ts';
import { sha256Hex } from '../core/hash.ts';
import { packageRoot } from '../core/package-root.ts';
import type { RunOptions } from '../core/run-options.ts';
import { throwIfAborted } from '../core/run-options.ts';
import { NgramWeights } from './ngram-weights.ts';
import type { ToxicityScorer } from './scorer.ts';

const textsPerTurn = 256;

/**
 * The scorer that comes with the package: a small linear model on hashed n-grams, deterministic and fast (about 20,000 short texts a
 * second), label `toxicity`. Its card, `assets/demo/scorer/card.json`, states its data, licences and measured quality. Its numbers
 * compare with no other scorer's.
 *
 * @throws MendsetError `not-found` or `corrupt` when the package is damaged
 * @example
 * const [score] = await (await builtinScorer()).score(['what a lovely day']); // { toxicity: 0.0... }
 */
export async function builtinScorer(): Promise<ToxicityScorer> {
  const path = join(packageRoot(), 'assets', 'demo', 'scorer', 'weights.bin');
  const bytes = await readBytes(path);
  const weights = NgramWeights.parse(bytes, path);
  return {
    identity: { name: 'mendset-ngram', version: '1', weightsHash: sha256Hex(bytes), labels: ['toxicity'], activation: 'sigmoid' },
    async score(texts: readonly string[], options: RunOptions = {}): Promise<Readonly<Record<string, number>>[]> {
      const scores: Readonly<Record<string, number>>[] = [];
      for (const text of texts) {
        if (scores.length % textsPerTurn === 0) {
          throwIfAborted(options.signal);
          options.onProgress?.({ phase: 'toxicity', done: scores.length, total: texts.length });
          if (scores.length > 0) await setImmediate();
        }
        scores.push({ toxicity: weights.score(text) });
      }
      options.onProgress?.({ phase: 'toxicity', done: texts.length, total: texts.length });
      return scores;
    },
  };
}
