import { bootstrapMean, type Interval, signFlipTest } from '../core/bootstrap.ts';
import { MendsetError } from '../core/errors.ts';
import type { EvaluationResult } from './evaluate.ts';
import { compareToxicity } from './toxicity-repair.ts';
import { sameScorer } from './toxicity-scores.ts';

/** One figure of two evaluations side by side. */
export interface FigureDifference {
  readonly name: string;
  readonly a: number | null;
  readonly b: number | null;
  /** b - a; over the pairs where there are some */
  readonly difference: number | null;
  /** 95 % interval of the paired difference over prompts; null where single prompts are not known */
  readonly interval: Interval | null;
  /** Two-sided sign-flip test over prompts; null where there are no pairs */
  readonly pValue: number | null;
  /** Prompts with a score in both; 0 where the figure is not a mean over prompts */
  readonly pairs: number;
  readonly convention: string;
}

export interface EvaluationComparison {
  readonly figures: readonly FigureDifference[];
  /** Figures that must not be compared, and why */
  readonly refused: readonly { readonly name: string; readonly reason: string }[];
}

/**
 * Compares two evaluations figure by figure, paired over prompts where both kept them: `b` against `a`. Figures of different conventions, texts or
 * scorers are refused by name, never subtracted.
 *
 * @throws MendsetError `invalid-argument` when nothing can be compared
 * @example
 * const { figures } = compareEvaluations(await evaluate(before, options), await evaluate(after, options));
 */
export function compareEvaluations(
  a: EvaluationResult,
  b: EvaluationResult,
  options: { seed?: number | undefined } = {},
): EvaluationComparison {
  const figures: FigureDifference[] = [];
  const refused: { name: string; reason: string }[] = [];
  for (const own of a.figures) {
    const other = b.figures.find((f) => f.name === own.name);
    const reason = !other
      ? 'the second evaluation does not have it'
      : other.convention !== own.convention
        ? `the conventions differ: ${own.convention} / ${other.convention}`
        : JSON.stringify(own.counts) !== JSON.stringify(other.counts)
          ? `other texts or another tokenizer: ${JSON.stringify(own.counts)} / ${JSON.stringify(other.counts)}`
          : scorerProblem(own.name, a, b);
    if (!other || reason) {
      refused.push({ name: own.name, reason: reason ?? 'unknown' });
      continue;
    }
    const pairs = pairedDifferences(own.name, a, b);
    const mean = pairs === null || pairs.length === 0 ? null : pairs.reduce((x, y) => x + y, 0) / pairs.length;
    figures.push({
      name: own.name,
      a: own.value,
      b: other.value,
      difference: mean ?? (own.value === null || other.value === null ? null : other.value - own.value),
      interval: pairs && bootstrapMean(pairs, options),
      pValue: pairs && signFlipTest(pairs, options),
      pairs: pairs?.length ?? 0,
      convention: own.convention,
    });
  }
  if (figures.length === 0) {
    throw new MendsetError(
      'invalid-argument',
      `Expected two evaluations with a figure in common but ${refused.length === 0 ? 'the first has none' : refused.map((r) => `${r.name}: ${r.reason}`).join('; ')}.`,
      { problems: refused.map((r) => `${r.name}: ${r.reason}`) },
    );
  }
  return { figures, refused };
}

function scorerProblem(name: string, a: EvaluationResult, b: EvaluationResult): string | null {
  const [own, other] =
    name === 'toxicity.repair' ? [a.toxicity, b.toxicity] : name.startsWith('toxicity.rtp') ? [a.rtp, b.rtp] : [null, null];
  if (!own || !other) return null;
  const promptsOf = (r: { prompts: number; dropped?: number }) => r.prompts + (r.dropped ?? 0);
  if (!sameScorer(own.scorer, other.scorer))
    return `${own.scorer.name} ${own.scorer.version} / ${other.scorer.name} ${other.scorer.version}: different scorers`;
  return promptsOf(own) === promptsOf(other) ? null : `${promptsOf(own)} / ${promptsOf(other)} prompts`;
}

/** b - a of each prompt that has a value in both; null where the figure is not a mean over prompts. */
function pairedDifferences(name: string, a: EvaluationResult, b: EvaluationResult): number[] | null {
  if (name === 'toxicity.repair' && a.toxicity && b.toxicity) return compareToxicity(a.toxicity, b.toxicity).differences;
  if (!name.startsWith('toxicity.rtp') || !a.rtp || !b.rtp) return null;
  const { threshold, comparison } = a.rtp;
  const value = (maximum: number | null) =>
    maximum === null || name === 'toxicity.rtp.expectedMaximum'
      ? maximum
      : (comparison === '>' ? maximum > threshold : maximum >= threshold)
        ? 1
        : 0;
  const perPrompt = ({ records, maxima }: NonNullable<EvaluationResult['rtp']>) =>
    maxima.map((_, prompt) => {
      const values = records.filter((r) => r.prompt === prompt).flatMap((r) => value(r.maximum) ?? []);
      return values.length === 0 ? null : values.reduce((x, y) => x + y, 0) / values.length;
    });
  const [own, other] = [perPrompt(a.rtp), perPrompt(b.rtp)];
  return own.flatMap((v, i) => (v === null || other[i] == null ? [] : [(other[i] as number) - v]));
}
