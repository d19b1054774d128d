import { bootstrapMean, type Interval, signFlipTest } from '../core/bootstrap.ts';
import { MendsetError } from '../core/errors.ts';
import type { RunOptions } from '../core/run-options.ts';
import type { LanguageModel } from '../model/language-model.ts';
import { encodePrompts, type Prompt } from './prompts.ts';
import type { ScorerIdentity, ToxicityScorer } from './scorer.ts';
import { FAILED_SHARE_LIMIT, type LabelRule, sameScorer, scoreTexts, type TextScore } from './toxicity-scores.ts';

export interface RepairToxicityOptions extends RunOptions {
  /** Tokens a prompt keeps; default 32 */
  readonly promptTokens?: number | undefined;
  /** Default 20 */
  readonly maxNewTokens?: number | undefined;
  readonly label?: LabelRule | undefined;
  readonly emptyAs?: 'exclude' | 0 | undefined;
  /** `dev`: the first 50 prompts, as the published code evaluates; default `full` */
  readonly scale?: 'full' | 'dev' | undefined;
  /** Of the bootstrap; default 0 */
  readonly seed?: number | undefined;
}

/** One prompt and what became of it. */
export interface ToxicityRecord {
  readonly prompt: number;
  readonly completion: string;
  readonly score: number | null;
  readonly reason: 'empty' | 'failed' | null;
}

export interface RepairToxicity {
  readonly protocol: 'toxicity.repair';
  /** What was done, in words, for tables and files */
  readonly convention: string;
  /** Mean over scored prompts, in [0, 1]; null when none could be scored */
  readonly mean: number | null;
  readonly interval: Interval | null;
  readonly prompts: number;
  readonly scored: number;
  readonly empty: number;
  readonly failed: number;
  /** More than 1 % of the scores failed */
  readonly incomplete: boolean;
  readonly label: LabelRule;
  readonly scale: 'full' | 'dev';
  readonly scorer: ScorerIdentity;
  readonly records: readonly ToxicityRecord[];
  readonly seed: number;
}

const DEV_PROMPTS = 50;

/**
 * The repair protocol: the first 32 tokens of each prompt, greedy, 20 new tokens; the continuation alone is scored by the maximum
 * over the scorer's labels; the mean over prompts, with a 95 % bootstrap interval over prompts.
 *
 * @throws MendsetError `invalid-data` (prompts), `aborted`, and whatever the scorer rejects with
 * @example
 * const { mean, interval } = await repairToxicity(model, prompts, await builtinScorer());
 */
export async function repairToxicity(
  model: LanguageModel,
  prompts: readonly Prompt[],
  scorer: ToxicityScorer,
  options: RepairToxicityOptions = {},
): Promise<RepairToxicity> {
  const { promptTokens = 32, maxNewTokens = 20, label = 'max', scale = 'full', seed = 0, signal, onProgress } = options;
  const tokenizer = model.requireTokenizer();
  const used = scale === 'dev' ? prompts.slice(0, DEV_PROMPTS) : prompts;
  const encoded = encodePrompts(model, used, promptTokens);
  const completions = await model.generate(encoded, { maxNewTokens, greedy: true, signal, onProgress });
  const texts = completions.map((c) => tokenizer.decode(c.ids));
  const scores = await scoreTexts(scorer, texts, { label, emptyAs: options.emptyAs, signal, onProgress });
  const emptyRule = options.emptyAs === 0 ? 'empty continuations count as 0' : 'empty continuations excluded';
  return {
    protocol: 'toxicity.repair',
    convention: `greedy, ${maxNewTokens} new tokens after the first ${promptTokens} tokens of each prompt, continuation only, ${label === 'max' ? 'maximum over labels' : `label ${label}`}, mean over prompts, ${emptyRule}`,
    ...summarizeScores(scores, seed),
    label,
    scale,
    scorer: scorer.identity,
    records: texts.map((completion, prompt) => {
      const s = scores[prompt] as TextScore;
      return { prompt, completion, score: s.score, reason: s.score === null ? s.reason : null };
    }),
    seed,
  };
}

/** Mean, interval and counts of scored texts, one for each prompt. */
export function summarizeScores(
  scores: readonly TextScore[],
  seed: number,
): Pick<RepairToxicity, 'mean' | 'interval' | 'prompts' | 'scored' | 'empty' | 'failed' | 'incomplete'> {
  const values = scores.flatMap((s) => (s.score === null ? [] : [s.score]));
  const empty = scores.filter((s) => s.score === null && s.reason === 'empty').length;
  const failed = scores.filter((s) => s.score === null && s.reason === 'failed').length;
  return {
    mean: values.length === 0 ? null : values.reduce((a, b) => a + b, 0) / values.length,
    interval: bootstrapMean(values, { seed }),
    prompts: scores.length,
    scored: values.length,
    empty,
    failed,
    incomplete: failed > FAILED_SHARE_LIMIT * scores.length,
  };
}

/** Difference of two models on the same prompts. */
export interface ToxicityDifference {
  /** Mean over prompts scored for both of (b - a): below 0, b is less toxic */
  readonly mean: number | null;
  /** Of the paired differences; an interval without 0 separates the models */
  readonly interval: Interval | null;
  /** Two-sided sign-flip test; null without pairs */
  readonly pValue: number | null;
  readonly pairs: number;
  /** b - a of each pair, in prompt order */
  readonly differences: number[];
}

/**
 * Paired bootstrap over prompts. Throws `invalid-argument` when scorers, labels or prompt counts differ.
 *
 * @example
 * const { mean, interval } = compareToxicity(before, after); // below 0: less toxic after
 */
export function compareToxicity(
  a: RepairToxicity,
  b: RepairToxicity,
  options: { seed?: number; resamples?: number } = {},
): ToxicityDifference {
  if (!sameScorer(a.scorer, b.scorer) || a.label !== b.label) {
    throw new MendsetError(
      'invalid-argument',
      `Expected two results of one scorer but received ${a.scorer.name} ${a.scorer.version} (${a.label}) and ${b.scorer.name} ${b.scorer.version} (${b.label}): score both with the same one.`,
    );
  }
  if (a.records.length !== b.records.length || a.convention !== b.convention) {
    throw new MendsetError(
      'invalid-argument',
      `Expected two results of the same prompts and protocol but received ${a.records.length} and ${b.records.length} prompts (${a.convention}; ${b.convention}).`,
    );
  }
  const differences = a.records.flatMap((record, i) => {
    const other = b.records[i] as ToxicityRecord;
    return record.score === null || other.score === null ? [] : [other.score - record.score];
  });
  return {
    mean: differences.length === 0 ? null : differences.reduce((x, y) => x + y, 0) / differences.length,
    interval: bootstrapMean(differences, options),
    pValue: signFlipTest(differences, options),
    pairs: differences.length,
    differences,
  };
}
