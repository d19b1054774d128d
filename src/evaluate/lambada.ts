import { MendsetError } from '../core/errors.ts';
import type { Matrix } from '../core/matrix.ts';
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
  /** Tokens of all last words */
  readonly targetTokens: number;
  /** Texts longer than the context, which lost their start */
  readonly truncated: number;
  /** Texts without a space or whose last word adds no token */
  readonly leftOut: number;
}

/** Predicts the last word of each text from what comes before it, as lm-evaluation-harness's `lambada_openai`. */
export async function lambadaTarget(model: LanguageModel, texts: readonly string[], options: RunOptions = {}): Promise<LambadaTarget> {
  const tokenizer = model.requireTokenizer();
  const started = tokenizer.encode('', { specials: 'before' }).length > 0;
  const sequences: TokenSequence[] = [];
  const long: LastWord[] = [];
  for (const text of texts) {
    const word = lastWord(text, (t) => tokenizer.encode(t, { specials: 'before' }));
    if (!word) continue;
    if (word.ids.length > model.summary.context) {
      long.push(word);
    } else {
      const mask = new Uint8Array(word.ids.length);
      mask.fill(1, word.ids.length - word.targetTokens);
      sequences.push({ ids: word.ids, mask });
    }
  }
  const count = sequences.length + long.length;
  if (count === 0)
    throw new MendsetError('invalid-data', `Expected LAMBADA texts of at least two words but none of ${texts.length} is one.`);
  const scores: { logProb: number; allGreedy: boolean }[] = await model.score(sequences, options);
  for (const word of long) scores.push(await scoreLong(model, word, options));
  const { targetPpl, targetAcc } = targetFigures(scores);
  return {
    targetPpl,
    targetAcc,
    convention: `last word after the last space given the text before it (its last ${model.summary.context} tokens), ${started ? "the tokenizer's begin-of-text token first" : 'no start token'}, perplexity per word, accuracy of the greedy continuation`,
    texts: count,
    targetTokens:
      sequences.reduce((sum, s) => sum + s.mask.reduce((a, b) => a + b, 0), 0) + long.reduce((sum, w) => sum + w.targetTokens, 0),
    truncated: long.length,
    leftOut: texts.length - count,
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

interface LastWord {
  /** The whole text */
  readonly ids: Int32Array;
  readonly targetTokens: number;
}

/** Context and target are split at the last space; the target's tokens are those beyond the context's. null when nothing is left. */
export function lastWord(text: string, encode: (text: string) => Int32Array): LastWord | null {
  const trimmed = text.trimEnd();
  const space = trimmed.lastIndexOf(' ');
  if (space <= 0) return null;
  const ids = encode(trimmed);
  const targetTokens = ids.length - encode(trimmed.slice(0, space)).length;
  return targetTokens < 1 || targetTokens >= ids.length ? null : { ids, targetTokens };
}

/**
 * A text beyond the context: its last token is predicted but never read, so `context` tokens before it are read, one more than a sequence
 * whose every token is read would leave.
 */
async function scoreLong(
  model: LanguageModel,
  { ids, targetTokens }: LastWord,
  run: RunOptions,
): Promise<{ logProb: number; allGreedy: boolean }> {
  const { context, vocab } = model.summary;
  if (targetTokens > context)
    throw new MendsetError(
      'invalid-data',
      `Expected last words of at most ${context} tokens, the model's context, but one has ${targetTokens}.`,
    );
  const read = ids.slice(ids.length - context - 1, -1);
  const [logits] = await model.logits([{ ids: read, mask: new Uint8Array(context) }], { signal: run.signal });
  let logProb = 0;
  let allGreedy = true;
  for (let i = 0; i < targetTokens; i++) {
    const row = (logits as Matrix).data.subarray((context - targetTokens + i) * vocab, (context - targetTokens + i + 1) * vocab);
    const target = ids[ids.length - targetTokens + i] as number;
    let most = 0;
    for (let v = 1; v < vocab; v++) if ((row[v] as number) > (row[most] as number)) most = v;
    let sum = 0;
    for (const logit of row) sum += Math.exp(logit - (row[most] as number));
    logProb += (row[target] as number) - (row[most] as number) - Math.log(sum);
    allGreedy &&= most === target;
  }
  return { logProb, allGreedy };
}
