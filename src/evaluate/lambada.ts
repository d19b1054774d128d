import { MendsetError } from '../core/errors.ts';
import type { RunOptions } from '../core/run-options.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { TokenSequence } from '../model/sequences.ts';

export interface LambadaTarget {
  /** `lambada.targetPpl`: exp of minus the mean log-likelihood of the last words; per word */
  readonly targetPpl: number;
  /** `lambada.targetAcc`: share of texts whose last word is the model's greedy continuation */
  readonly targetAcc: number;
  readonly convention: string;
  readonly texts: number;
  /** Texts without a space or whose last word adds no token */
  readonly leftOut: number;
}

/** Predicts the last word of each text from what comes before it, as lm-evaluation-harness's `lambada_openai`. */
export async function lambadaTarget(model: LanguageModel, texts: readonly string[], options: RunOptions = {}): Promise<LambadaTarget> {
  const tokenizer = model.requireTokenizer();
  const sequences: TokenSequence[] = [];
  for (const text of texts) {
    const sequence = lastWordSequence(text, (t) => tokenizer.encode(t), model.summary.context);
    if (sequence) sequences.push(sequence);
  }
  if (sequences.length === 0)
    throw new MendsetError('invalid-data', `Expected LAMBADA texts of at least two words but none of ${texts.length} is one.`);
  const scores = await model.score(sequences, options);
  const { targetPpl, targetAcc } = targetFigures(scores);
  return {
    targetPpl,
    targetAcc,
    convention: 'last word after the last space given the text before it, perplexity per word, accuracy of the greedy continuation',
    texts: sequences.length,
    leftOut: texts.length - sequences.length,
  };
}

/** `logProb`: sum over the target's tokens. `allGreedy`: each of them was the model's first choice. */
export function targetFigures(scores: readonly { readonly logProb: number; readonly allGreedy: boolean }[]): {
  targetPpl: number;
  targetAcc: number;
} {
  let sum = 0;
  let correct = 0;
  for (const { logProb, allGreedy } of scores) {
    sum += logProb;
    if (allGreedy) correct++;
  }
  return { targetPpl: Math.exp(-sum / scores.length), targetAcc: correct / scores.length };
}

/** Context and target are split at the last space; the target's tokens are those beyond the context's. null when nothing is left. */
export function lastWordSequence(text: string, encode: (text: string) => Int32Array, context: number): TokenSequence | null {
  const trimmed = text.trimEnd();
  const space = trimmed.lastIndexOf(' ');
  if (space <= 0) return null;
  const all = encode(trimmed);
  const targetTokens = all.length - encode(trimmed.slice(0, space)).length;
  if (targetTokens < 1 || targetTokens >= all.length) return null;
  const ids = all.slice(Math.max(0, all.length - context));
  if (targetTokens >= ids.length) return null;
  const mask = new Uint8Array(ids.length);
  mask.fill(1, ids.length - targetTokens);
  return { ids, mask };
}
