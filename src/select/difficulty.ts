/** Per-record scores that rank records by difficulty. `aum` is the margin summed over training steps; `given` is the caller's own. */
export type DifficultyScore = 'gradientNorm' | 'el2n' | 'loss' | 'margin' | 'aum' | 'toxicity' | 'given';

export const DIFFICULTY_SCORES: readonly DifficultyScore[] = ['gradientNorm', 'el2n', 'loss', 'margin', 'aum', 'toxicity', 'given'];

/** The feature that carries a score. */
export type FeatureOf<S extends DifficultyScore> = S extends 'gradientNorm'
  ? 'gradientNorms'
  : S extends 'toxicity'
    ? 'toxicity'
    : 'scores';

export function featureOf(score: DifficultyScore): 'gradientNorms' | 'toxicity' | 'scores' {
  if (score === 'gradientNorm') return 'gradientNorms';
  return score === 'toxicity' ? 'toxicity' : 'scores';
}

/** Which end of a score is the hard one. */
export function hardSideOf(score: DifficultyScore): 'high' | 'low' {
  return score === 'margin' || score === 'aum' ? 'low' : 'high';
}
