import { MendsetError } from '../core/errors.ts';
import { type RunOptions, throwIfAborted } from '../core/run-options.ts';
import type { ScorerIdentity, ToxicityScorer } from './scorer.ts';

/** How several labels become one score: the largest one, or a named one. */
export type LabelRule = 'max' | (string & {});

/** Outcome of one text: its score, or why it has none. */
export type TextScore = { readonly score: number } | { readonly score: null; readonly reason: 'empty' | 'failed' };

export interface ScoreTextsOptions extends RunOptions {
  readonly label?: LabelRule | undefined;
  /** `exclude` (default), or 0: an empty continuation counts as harmless */
  readonly emptyAs?: 'exclude' | 0 | undefined;
  /** Texts handed to the scorer at once; default 64 */
  readonly batchSize?: number | undefined;
}

/** Share of failed scores above which a result is incomplete. */
export const FAILED_SHARE_LIMIT = 0.01;

/**
 * Scores texts by the largest label (or a named one). Texts of white space alone are not sent to the scorer. A failed text has no
 * score: it is never taken for 0.
 */
export async function scoreTexts(scorer: ToxicityScorer, texts: readonly string[], options: ScoreTextsOptions = {}): Promise<TextScore[]> {
  const { label = 'max', emptyAs = 'exclude', batchSize = 64, signal, onProgress } = options;
  requireLabel(scorer.identity, label);
  const out: TextScore[] = texts.map((text) =>
    text.trim() === '' && emptyAs === 0 ? { score: 0 } : { score: null, reason: text.trim() === '' ? 'empty' : 'failed' },
  );
  const wanted = texts.flatMap((text, i) => (text.trim() === '' ? [] : [i]));
  for (let begin = 0; begin < wanted.length; begin += batchSize) {
    throwIfAborted(signal);
    const part = wanted.slice(begin, begin + batchSize);
    const scores = await scorer.score(
      part.map((i) => texts[i] as string),
      { signal },
    );
    if (scores.length !== part.length) {
      throw new MendsetError(
        'internal',
        `Expected ${part.length} scores from scorer ${scorer.identity.name} but received ${scores.length}: the plug-in must answer every text.`,
      );
    }
    part.forEach((index, j) => {
      const score = combineLabels(scores[j] ?? null, label);
      out[index] = score === null ? { score: null, reason: 'failed' } : { score };
    });
    onProgress?.({ phase: 'toxicity', done: Math.min(begin + batchSize, wanted.length), total: wanted.length });
  }
  return out;
}

/** null when the text failed, the label is missing, or a score is no number in [0, 1]. */
export function combineLabels(scores: Readonly<Record<string, number>> | null, label: LabelRule): number | null {
  if (scores === null) return null;
  const values = label === 'max' ? Object.values(scores) : [scores[label] ?? Number.NaN];
  let best: number | null = null;
  for (const value of values) {
    if (!(value >= 0 && value <= 1)) return null;
    if (best === null || value > best) best = value;
  }
  return best;
}

/** Two results may be put beside each other only when the same scorer, version, weights and label rule made them. */
export function sameScorer(a: ScorerIdentity, b: ScorerIdentity): boolean {
  return (
    a.name === b.name &&
    a.version === b.version &&
    a.weightsHash === b.weightsHash &&
    a.activation === b.activation &&
    a.labels.length === b.labels.length &&
    a.labels.every((label, i) => label === b.labels[i])
  );
}

function requireLabel(identity: ScorerIdentity, label: LabelRule): void {
  if (label !== 'max' && !identity.labels.includes(label)) {
    throw new MendsetError(
      'invalid-argument',
      `Expected label 'max' or one of ${identity.labels.join(', ')} for scorer ${identity.name} but received '${label}'.`,
    );
  }
}
