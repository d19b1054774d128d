import { MendsetError } from '../core/errors.ts';
import type { RunOptions } from '../core/run-options.ts';
import type { PairRecord } from '../data/record.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { TokenSequence } from '../model/sequences.ts';
import type { TokenScores } from '../model/token-scores.ts';
import type { Feature } from './feature.ts';
import { cachedFeature, type FeatureCache, VECTOR_PACK } from './feature-cache.ts';
import { forwardFlops } from './feature-flops.ts';
import { type CountedTokens, chosenSequences, scorable } from './record-sequences.ts';
import { ScoredPass } from './scored-pass.ts';

/** `loss`: -log p; `el2n`: norm of p minus the target; `margin`: p of the target minus the largest other p. */
export type TokenScoreName = 'loss' | 'el2n' | 'margin';

export interface TokenScoreOptions {
  readonly model?: LanguageModel | undefined;
  readonly score?: TokenScoreName | undefined;
  readonly tokens?: CountedTokens | undefined;
  /** Mean (default) or sum over counted tokens */
  readonly reduction?: 'mean' | 'sum' | undefined;
}

/**
 * A score of each record's chosen text from one forward pass, or from the pass that gave the same texts' gradient norms, [n] fp64;
 * NaN for a record without counted tokens.
 */
export async function tokenScoreFeature(
  records: readonly PairRecord[],
  appendEos: boolean,
  options: TokenScoreOptions,
  cache: FeatureCache | null,
  run: RunOptions,
  pass: ScoredPass = new ScoredPass(),
): Promise<Feature<Float64Array>> {
  const { model, score = 'el2n', tokens = 'completion', reduction = 'mean' } = options;
  if (!model)
    throw new MendsetError('invalid-argument', `Expected a model to compute the score '${score}' with, or own scores (a .npy file).`);
  const described = { score, tokens, reduction, appendEos, backend: model.summary.backend };
  return cachedFeature<Float64Array>(
    cache,
    { kind: 'scores', sourceHash: model.hash, records, options: described },
    VECTOR_PACK,
    async () => {
      const sequences = chosenSequences(model, records, appendEos, tokens);
      const places = scorable(sequences);
      const scored = places.map((i) => sequences[i] as TokenSequence);
      const { scores, seconds } = await pass.scores(model, scored, run);
      const values = new Float64Array(records.length).fill(Number.NaN);
      places.forEach((index, j) => {
        const { [score]: mean, tokens: count } = scores[j] as TokenScores;
        values[index] = reduction === 'sum' ? (mean as number) * count : (mean as number);
      });
      const missing = records.length - places.length;
      return {
        values,
        flopsCounted: forwardFlops(model, scored),
        sharedSeconds: seconds,
        warnings: missing === 0 ? [] : [`${missing} records have no counted token and so no ${score}.`],
      };
    },
  );
}
