import { MendsetError } from '../core/errors.ts';
import { defineSelector, requireInteger, requireOneOf } from './define-selector.ts';
import { DIFFICULTY_SCORES, type DifficultyScore, type FeatureOf, featureOf, hardSideOf } from './difficulty.ts';
import { finiteIndices, type NonFinite, rankAscending, rankDescending } from './rank.ts';
import type { Preset, Selector } from './selector.ts';

export interface GrandOptions<S extends DifficultyScore = 'gradientNorm'> {
  readonly preset?: Preset | undefined;
  /** what ranks the records; default `gradientNorm`; `given`: the caller's own, high is hard */
  readonly score?: S | undefined;
  /** skip that many of the hardest records; default 0 */
  readonly offset?: number | undefined;
  /** default `error` */
  readonly nonFinite?: NonFinite | undefined;
}

/**
 * GraNd: the records with the largest expected gradient norm (Paul et al., Deep Learning on a Data Diet, 2021), or another difficulty score.
 *
 * `paper`: chooses half of the scored records whatever the budget and skips records whose score failed.
 */
export function grand<S extends DifficultyScore = 'gradientNorm'>(options: GrandOptions<S> = {}): Selector<FeatureOf<S>> {
  const preset = options.preset ?? 'principled';
  const score: DifficultyScore = options.score ?? 'gradientNorm';
  const offset = options.offset ?? 0;
  const nonFinite: NonFinite = preset === 'paper' ? 'drop' : (options.nonFinite ?? 'error');
  requireOneOf('score', score, DIFFICULTY_SCORES);
  requireInteger('offset', offset, 0);
  requireOneOf('nonFinite', nonFinite, ['error', 'drop']);
  const feature = featureOf(score) as FeatureOf<S>;
  return defineSelector<FeatureOf<S>>({
    name: 'grand',
    preset,
    needs: [feature],
    parameters: { score, offset, nonFinite },
    async choose({ n, budget, features }, _options, timed) {
      const scores = features[feature] as Float64Array;
      const usable = finiteIndices(scores, nonFinite, `${score} score`);
      const count = preset === 'paper' ? Math.floor(usable.length / 2) : budget;
      if (offset + count > usable.length) {
        throw new MendsetError(
          'invalid-argument',
          `Expected offset + budget of at most ${usable.length} scored records but received ${offset} + ${count}: lower the budget or the offset.`,
        );
      }
      const ranked = await timed('choosing', () => (hardSideOf(score) === 'high' ? rankDescending : rankAscending)(scores, usable));
      const warnings =
        count === budget
          ? []
          : [`The paper preset of grand chooses half of the scored records, ${count}, whatever the budget (${budget}).`];
      return { indices: Int32Array.from(ranked.slice(offset, offset + count)), scores, dropped: n - usable.length, warnings };
    },
  });
}
