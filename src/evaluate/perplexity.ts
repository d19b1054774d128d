import { MendsetError } from '../core/errors.ts';
import { type RunOptions, throwIfAborted } from '../core/run-options.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { TokenSequence } from '../model/sequences.ts';

/** `principled`: every target counts once. `paper`: means of windows, weighted by window length. */
export type PerplexityWeighting = 'principled' | 'paper';

export interface PerplexityOptions extends RunOptions {
  /** W, tokens of a window; default 1024, or the model's context when that is smaller; `model` = the full context */
  readonly window?: number | 'model' | undefined;
  /** s, default W: windows that do not overlap */
  readonly stride?: number | undefined;
  readonly weighting?: PerplexityWeighting | undefined;
  /** Only the first windows; 32 is the published code's verbose mode */
  readonly maxWindows?: number | undefined;
}

export interface Perplexity {
  readonly ppl: number;
  /** Mean negative log-likelihood under the weighting, in nats */
  readonly nll: number;
  readonly convention: string;
  readonly weighting: PerplexityWeighting;
  readonly window: number;
  readonly stride: number;
  readonly windows: number;
  /** Tokens of the text that the windows cover */
  readonly tokens: number;
  readonly scoredTokens: number;
  /** Of the original text, when it was given; words are separated by white space */
  readonly words: number | null;
  readonly bytes: number | null;
  /** exp(-sum LL / words) and / bytes under the same windows; null unless the whole text was scored */
  readonly wordPpl: number | null;
  readonly bytePpl: number | null;
}

/** One window: ids[begin .. end) is read, ids[firstTarget .. end) is scored. */
export interface PerplexityWindow {
  readonly begin: number;
  readonly end: number;
  readonly firstTarget: number;
}

/** Windows of a text of `tokens` ids: each token after the first is a target exactly once. Windows without targets are left out. */
export function planWindows(tokens: number, window: number, stride: number): PerplexityWindow[] {
  const windows: PerplexityWindow[] = [];
  let covered = 0;
  for (let begin = 0; covered < tokens; begin += stride) {
    const end = Math.min(begin + window, tokens);
    const firstTarget = Math.max(covered, begin + 1);
    if (firstTarget < end) windows.push({ begin, end, firstTarget });
    covered = end;
  }
  return windows;
}

/** Mean negative log-likelihood of windows, given the sum of each one's. */
export function weightedNll(windows: readonly PerplexityWindow[], sums: ArrayLike<number>, weighting: PerplexityWeighting): number {
  let total = 0;
  let weight = 0;
  windows.forEach(({ begin, end, firstTarget }, i) => {
    const sum = sums[i] as number;
    const targets = end - firstTarget;
    total += weighting === 'principled' ? sum : (sum / targets) * (end - begin);
    weight += weighting === 'principled' ? targets : end - begin;
  });
  return total / weight;
}

/** Windows handed to the model at once; the model batches them by tokens itself. */
const WINDOWS_PER_CALL = 16;

/**
 * Perplexity of one long text. Rejects with `invalid-argument` for windows the model cannot read and `invalid-data` for texts of
 * fewer than two tokens.
 *
 * @example
 * const { ppl, tokens } = await runningPerplexity(model, rows.join('\n\n'), { window: 1024, stride: 512 });
 */
export async function runningPerplexity(
  model: LanguageModel,
  text: string | ArrayLike<number>,
  options: PerplexityOptions = {},
): Promise<Perplexity> {
  const ids = typeof text === 'string' ? model.requireTokenizer().encode(text) : Int32Array.from(text);
  const { window, stride, weighting } = resolveWindows(options, model.summary.context);
  requireTokenIds(ids, model.summary.vocab);

  const all = planWindows(ids.length, window, stride);
  const windows = options.maxWindows === undefined ? all : all.slice(0, options.maxWindows);
  const sums = new Float64Array(windows.length);
  for (let begin = 0; begin < windows.length; begin += WINDOWS_PER_CALL) {
    throwIfAborted(options.signal);
    const part = windows.slice(begin, begin + WINDOWS_PER_CALL);
    const rows = await model.logProbs(
      part.map((w) => windowSequence(ids, w)),
      { signal: options.signal },
    );
    rows.forEach((row, i) => {
      let sum = 0;
      for (const value of row) sum -= value;
      sums[begin + i] = sum;
    });
    options.onProgress?.({ phase: 'perplexity', done: begin + part.length, total: windows.length });
  }
  const nll = weightedNll(windows, sums, weighting);
  if (!Number.isFinite(nll))
    throw new MendsetError(
      'non-finite',
      'Expected finite log-likelihoods of the text but the model gave NaN or infinity: its weights are damaged.',
    );
  const whole = typeof text === 'string' && windows.length === all.length;
  const words = typeof text === 'string' ? (text.match(/\S+/gu)?.length ?? 0) : null;
  const bytes = typeof text === 'string' ? Buffer.byteLength(text) : null;
  const total = sums.reduce((a, b) => a + b, 0);
  const last = windows.at(-1) as PerplexityWindow;
  return {
    ppl: Math.exp(nll),
    nll,
    convention: `running text, no start token, window ${window}, stride ${stride}, ${weighting === 'principled' ? 'mean over scored tokens' : 'means of windows weighted by window length'}`,
    weighting,
    window,
    stride,
    windows: windows.length,
    tokens: last.end,
    scoredTokens: windows.reduce((n, w) => n + w.end - w.firstTarget, 0),
    words,
    bytes,
    wordPpl: whole && words ? Math.exp(total / words) : null,
    bytePpl: whole && bytes ? Math.exp(total / bytes) : null,
  };
}

/** Rejects texts that are too short or leave the vocabulary with `invalid-data`. */
export function requireTokenIds(ids: ArrayLike<number>, vocab: number): void {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i] as number;
    if (id < 0 || id >= vocab)
      throw new MendsetError('invalid-data', `Expected token ids below ${vocab} but token ${i} of the text is ${id}.`);
  }
  if (ids.length < 2)
    throw new MendsetError('invalid-data', `Expected a text of at least 2 tokens for a perplexity but it has ${ids.length}.`);
}

/** Checks W and s against the model's context. */
export function resolveWindows(
  options: PerplexityOptions,
  context: number,
): { window: number; stride: number; weighting: PerplexityWeighting } {
  const window = options.window === 'model' ? context : (options.window ?? Math.min(1024, context));
  const stride = options.stride ?? window;
  const weighting = options.weighting ?? 'principled';
  const problems: string[] = [];
  if (!Number.isSafeInteger(window) || window < 2 || window > context)
    problems.push(`the window must be between 2 and the model's context of ${context}, not ${window}`);
  if (!Number.isSafeInteger(stride) || stride < 1 || stride > window)
    problems.push(`the stride must be between 1 and the window ${window}, not ${stride}`);
  if (weighting === 'paper' && stride !== window) problems.push('the paper weighting needs a stride equal to the window');
  if (options.maxWindows !== undefined && !(Number.isSafeInteger(options.maxWindows) && options.maxWindows >= 1))
    problems.push(`maxWindows must be a whole number of at least 1, not ${options.maxWindows}`);
  if (problems.length > 0)
    throw new MendsetError('invalid-argument', `Expected usable perplexity options but ${problems.join('; ')}.`, { problems });
  return { window, stride, weighting };
}

function windowSequence(ids: Int32Array, { begin, end, firstTarget }: PerplexityWindow): TokenSequence {
  const mask = new Uint8Array(end - begin);
  mask.fill(1, firstTarget - begin);
  return { ids: ids.slice(begin, end), mask };
}
