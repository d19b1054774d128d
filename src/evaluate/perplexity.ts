import { MendsetError } from '../core/errors.ts';
import { type RunOptions, throwIfAborted } from '../core/run-options.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { TokenSequence } from '../model/sequences.ts';

/**
 * How the windows' negative log-likelihoods become one mean. `principled`: every target counts once. `paper`: means of windows, weighted by
 * window length. `hugging-face`: means of windows, weighted by labels - 1, as the code of the transformers guide does; with overlapping
 * windows it gives each later window one target too few.
 */
export type PerplexityWeighting = 'principled' | 'paper' | 'hugging-face';

export interface PerplexityOptions extends RunOptions {
  /** W, tokens of a window; default 1024, or the model's context when that is smaller; `model` = the full context */
  readonly window?: number | 'model' | undefined;
  /** s, default W: windows that do not overlap */
  readonly stride?: number | undefined;
  readonly weighting?: PerplexityWeighting | undefined;
  /**
   * `none` (default): the first token is context alone. `text`: an end-of-text token before the text, so that the first token is scored too.
   * A tokenizer with a begin-of-text token (Llama) puts that one before the text in either case.
   */
  readonly start?: 'none' | 'text' | undefined;
  /** Only the first windows; 32 is the published code's verbose mode */
  readonly maxWindows?: number | undefined;
}

export interface Perplexity {
  readonly ppl: number;
  /** Mean negative log-likelihood under the weighting, in nats */
  readonly nll: number;
  readonly convention: string;
  readonly weighting: PerplexityWeighting;
  readonly start: 'none' | 'text';
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
  /** Tokens of the window that no earlier window held; one more than its targets where its first token has no context */
  readonly labels: number;
}

/** Windows of a text of `tokens` ids: each token after the first is a target exactly once. Windows without targets are left out. */
export function planWindows(tokens: number, window: number, stride: number): PerplexityWindow[] {
  const windows: PerplexityWindow[] = [];
  let covered = 0;
  for (let begin = 0; covered < tokens; begin += stride) {
    const end = Math.min(begin + window, tokens);
    const firstTarget = Math.max(covered, begin + 1);
    if (firstTarget < end) windows.push({ begin, end, firstTarget, labels: end - covered });
    covered = end;
  }
  return windows;
}

/** Mean negative log-likelihood of windows, given the sum of each one's. */
export function weightedNll(windows: readonly PerplexityWindow[], sums: ArrayLike<number>, weighting: PerplexityWeighting): number {
  let total = 0;
  let weight = 0;
  windows.forEach(({ begin, end, firstTarget, labels }, i) => {
    const sum = sums[i] as number;
    const targets = end - firstTarget;
    const share = weighting === 'principled' ? targets : weighting === 'paper' ? end - begin : labels - 1;
    total += weighting === 'principled' ? sum : (sum / targets) * share;
    weight += share;
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
  const tokenizer = typeof text === 'string' ? model.requireTokenizer() : null;
  const own = tokenizer ? tokenizer.encode(text as string, { specials: 'before' }) : Int32Array.from(text as ArrayLike<number>);
  const ownStart = tokenizer?.encode('', { specials: 'before' }).length ?? 0;
  const start = options.start ?? 'none';
  const ids = start === 'text' && ownStart === 0 ? withStart(model, own) : own;
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
    convention: `running text, ${startWords(start, ownStart)}, window ${window}, stride ${stride}, ${WEIGHTING_WORDS[weighting]}`,
    weighting,
    start,
    window,
    stride,
    windows: windows.length,
    tokens: last.end - (ids.length - own.length) - ownStart,
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

const WEIGHTING_WORDS: Readonly<Record<PerplexityWeighting, string>> = {
  principled: 'mean over scored tokens',
  paper: 'means of windows weighted by window length',
  'hugging-face': 'means of windows weighted by labels - 1',
};

function startWords(start: 'none' | 'text', ownStart: number): string {
  if (ownStart > 0) return "the tokenizer's begin-of-text token before the text";
  return start === 'none' ? 'no start token' : 'an end-of-text token before the text';
}

function withStart(model: LanguageModel, ids: Int32Array): Int32Array {
  const { eos } = model.summary;
  if (eos < 0)
    throw new MendsetError(
      'invalid-argument',
      "Expected a model with an end-of-text token for start 'text' but its config names none: leave it out.",
    );
  const out = new Int32Array(ids.length + 1);
  out[0] = eos;
  out.set(ids, 1);
  return out;
}

function windowSequence(ids: Int32Array, { begin, end, firstTarget }: PerplexityWindow): TokenSequence {
  const mask = new Uint8Array(end - begin);
  mask.fill(1, firstTarget - begin);
  return { ids: ids.slice(begin, end), mask };
}
