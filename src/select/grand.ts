import { MendsetError } from '../core/errors.ts';
import { defineSelector, requireInteger, requireOneOf } from './define-selector.ts';
import { DIFFICULTY_SCORES, type DifficultyScore, type FeatureOf, featureOf, hardSideOf } from './difficulty.ts';
import { JAVASCRIPT, processorReport } from './engine.ts';
import { rankWork } from './phase-work.ts';
import { finiteIndices, NATIVE_FROM, type NonFinite, nonFiniteScore, rankAscending, rankDescending } from './rank.ts';
import { rankScores } from './rank-scores.ts';
import type { Preset, SelectOptions, Selector } from './selector.ts';

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
 * @throws MendsetError `invalid-argument` for an option out of its range, at once
 * @example
 * const { indices } = await selectIndices(grand({ score: 'given' }), { n: 5, budget: { count: 2 }, features: { scores: Float64Array.of(3, 7, 7, 1, 9) } }); // 4 1
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
    workBytes: (n, _d, budget) => 8 * n + 36 * Math.min(n, budget + offset),
    async choose({ n, budget, features }, options, timed) {
      const scores = features[feature] as Float64Array;
      const [ranked, usable] = await timed('choosing', () => rank(scores, budget, options));
      const count = preset === 'paper' ? Math.floor(usable / 2) : budget;
      if (offset + count > usable) {
        throw new MendsetError(
          'invalid-argument',
          `Expected offset + budget of at most ${usable} scored records but received ${offset} + ${count}: lower the budget or the offset.`,
        );
      }
      const warnings =
        count === budget
          ? []
          : [`The paper preset of grand chooses half of the scored records, ${count}, whatever the budget (${budget}).`];
      return {
        indices: ranked.slice(offset, offset + count),
        scores,
        engine: n < NATIVE_FROM ? JAVASCRIPT : processorReport(options),
        work: { choosing: rankWork(n, Math.min(n, offset + count)) },
        dropped: n - usable,
        warnings,
      };
    },
  });

  /** The hardest usable records first, as many as can be asked for, and how many are usable. */
  async function rank(scores: Float64Array, budget: number, options: SelectOptions): Promise<[Int32Array, number]> {
    const what = `${score} score`;
    const end = hardSideOf(score);
    if (scores.length < NATIVE_FROM) {
      const usable = finiteIndices(scores, nonFinite, what);
      return [(end === 'high' ? rankDescending : rankAscending)(scores, usable), usable.length];
    }
    const count = Math.min(scores.length, preset === 'paper' ? Math.floor(scores.length / 2) : offset + budget);
    const { firstBad, finite, indices } = await rankScores(scores, { count, end, dropBad: nonFinite === 'drop', phase: 'grand' }, options);
    if (firstBad >= 0) throw nonFiniteScore(what, firstBad, scores[firstBad] as number);
    return [indices, finite];
  }
}
