import { MendsetError } from '../core/errors.ts';
import type { RunOptions } from '../core/run-options.ts';
import type { PairRecord } from '../data/record.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { TokenSequence } from '../model/sequences.ts';
import type { Feature } from './feature.ts';
import { cachedFeature, type FeatureCache, VECTOR_PACK } from './feature-cache.ts';
import { gradientNormFlops } from './feature-flops.ts';
import { type CountedTokens, chosenSequences, goldSequences, scorable } from './record-sequences.ts';
import type { ScoredPass } from './scored-pass.ts';

export interface GradientNormOptions {
  readonly model?: LanguageModel | undefined;
  /** `global` (default): root of the sum of squares; `sum-of-tensors`: sum of the stored tensors' norms (paper) */
  readonly norm?: 'global' | 'sum-of-tensors' | undefined;
  /** The loss is the mean (default) or the sum over counted tokens */
  readonly reduction?: 'mean' | 'sum' | undefined;
  readonly tokens?: CountedTokens | undefined;
  /** `chosen` (default), or `gold`: prompt, space and original continuation (paper) */
  readonly text?: 'chosen' | 'gold' | undefined;
  /** One block's parameters instead of all */
  readonly block?: number | undefined;
}

/**
 * GraNd: the exact gradient norm of each record's own loss at the given weights, [n] fp64; NaN for a record without counted tokens.
 * `pass` keeps the token scores that the same pass gives.
 */
export async function gradientNormFeature(
  records: readonly PairRecord[],
  appendEos: boolean,
  options: GradientNormOptions,
  cache: FeatureCache | null,
  run: RunOptions,
  pass?: ScoredPass,
): Promise<Feature<Float64Array>> {
  const { model, norm = 'global', reduction = 'mean', tokens = 'completion', text = 'chosen', block } = options;
  if (!model)
    throw new MendsetError(
      'invalid-argument',
      'Expected a model to compute gradient norms with: this selector needs them (or own scores).',
    );
  const described = { norm, reduction, tokens, text, block: block ?? 'all', appendEos, backend: model.summary.backend };
  return cachedFeature<Float64Array>(
    cache,
    { kind: 'gradientNorms', sourceHash: model.hash, records, options: described },
    VECTOR_PACK,
    async () => {
      const sequences = text === 'gold' ? goldSequences(model, records) : chosenSequences(model, records, appendEos, tokens);
      const places = scorable(sequences);
      const scored = places.map((i) => sequences[i] as TokenSequence);
      const how = { ...run, reduction: reduction === 'sum' ? 'tokenSum' : 'tokenMean', ...(block === undefined ? {} : { block }) } as const;
      const norms = await (pass ? pass.gradientNorms(model, scored, how) : model.gradientNorms(scored, how));
      const wanted = norm === 'global' ? norms.global : norms.sumOfTensorNorms;
      const values = new Float64Array(records.length).fill(Number.NaN);
      places.forEach((index, j) => {
        values[index] = wanted[j] as number;
      });
      const missing = records.length - places.length;
      const warnings = missing === 0 ? [] : [`${missing} records have no counted token and so no gradient norm.`];
      return { values, flopsCounted: gradientNormFlops(model, scored), warnings };
    },
  );
}
