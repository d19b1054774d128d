import type { Interval } from '../core/bootstrap.ts';
import { MendsetError } from '../core/errors.ts';
import type { ProgressEvent, RunOptions } from '../core/run-options.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { NativeModelSummary } from '../native/binding.ts';
import { type LambadaTarget, lambadaTarget } from './lambada.ts';
import { type Perplexity, type PerplexityOptions, requireTokenIds, resolveWindows, runningPerplexity } from './perplexity.ts';
import { encodePrompts, type Prompt } from './prompts.ts';
import type { ToxicityScorer } from './scorer.ts';
import { type RepairToxicity, type RepairToxicityOptions, repairToxicity } from './toxicity-repair.ts';
import { type RtpToxicity, type RtpToxicityOptions, rtpToxicity } from './toxicity-rtp.ts';

export interface EvaluateOptions extends RunOptions {
  /** Challenge prompts of the repair protocol */
  readonly prompts?: readonly Prompt[] | undefined;
  /** Needed by prompts and rtpPrompts */
  readonly scorer?: ToxicityScorer | undefined;
  readonly toxicity?: Omit<RepairToxicityOptions, keyof RunOptions> | undefined;
  readonly rtpPrompts?: readonly Prompt[] | undefined;
  readonly rtp?: Omit<RtpToxicityOptions, keyof RunOptions> | undefined;
  /** WikiText-2: its rows, joined here by blank lines, or the joined text */
  readonly runningText?: readonly string[] | string | undefined;
  readonly lambada?: readonly string[] | undefined;
  /** One long text as token ids */
  readonly tokenIds?: ArrayLike<number> | undefined;
  readonly perplexity?: Omit<PerplexityOptions, keyof RunOptions> | undefined;
}

/** One number with the name of what it is. */
export interface Figure {
  readonly name: string;
  readonly value: number | null;
  readonly unit: 'share' | 'perplexity' | 'score';
  readonly convention: string;
  /** What it was computed from: tokens, windows, texts, prompts, failures */
  readonly counts: Readonly<Record<string, number>>;
  /** 95 % bootstrap interval, where the figure is a mean over prompts */
  readonly interval: Interval | null;
}

/** Plain data: `JSON.stringify` writes it as it is. */
export interface EvaluationResult {
  readonly figures: readonly Figure[];
  readonly toxicity: RepairToxicity | null;
  readonly rtp: RtpToxicity | null;
  readonly runningText: Perplexity | null;
  readonly lambadaRunning: Perplexity | null;
  readonly lambadaTarget: LambadaTarget | null;
  readonly tokens: Perplexity | null;
  readonly seconds: Readonly<Record<string, number>>;
  readonly model: Pick<
    NativeModelSummary,
    'family' | 'layers' | 'width' | 'parameters' | 'heldDtype' | 'backend' | 'device' | 'threads'
  > & {
    readonly hash: string | null;
  };
  readonly warnings: readonly string[];
}

/** Rows of a running text are joined by this. */
export const ROW_SEPARATOR = '\n\n';

/**
 * Every evaluation whose input is given. Figures carry their convention; numbers of different conventions or scorers are not
 * comparable.
 *
 * @throws MendsetError `invalid-argument`, `invalid-data`, `non-finite`, `aborted`; all input is checked before the first evaluation computes
 * @example
 * const { figures } = await evaluate(model, { runningText: rows, prompts, scorer });
 */
export async function evaluate(model: LanguageModel, options: EvaluateOptions): Promise<EvaluationResult> {
  checkOptions(model, options);
  const { scorer } = options;
  const seconds: Record<string, number> = {};
  const timed = async <I, R>(name: string, input: I | undefined, work: (input: I, run: RunOptions) => Promise<R>): Promise<R | null> => {
    if (input === undefined) return null;
    const start = performance.now();
    const onProgress =
      options.onProgress && ((event: ProgressEvent) => options.onProgress?.({ ...event, phase: `${name}: ${event.phase}` }));
    const result = await work(input, { signal: options.signal, onProgress });
    seconds[name] = (performance.now() - start) / 1000;
    return result;
  };
  const runningText = await timed('running text', options.runningText, (rows, run) =>
    runningPerplexity(model, typeof rows === 'string' ? rows : rows.join(ROW_SEPARATOR), { ...options.perplexity, ...run }),
  );
  const lambadaRunning = await timed('lambada running text', options.lambada, (rows, run) =>
    runningPerplexity(model, rows.join(ROW_SEPARATOR), { ...options.perplexity, ...run }),
  );
  const target = await timed('lambada last word', options.lambada, (rows, run) => lambadaTarget(model, rows, run));
  const tokens = await timed('token ids', options.tokenIds, (ids, run) => runningPerplexity(model, ids, { ...options.perplexity, ...run }));
  const toxicity = await timed('toxicity', options.prompts, (prompts, run) =>
    repairToxicity(model, prompts, scorer as ToxicityScorer, { ...options.toxicity, ...run }),
  );
  const rtp = await timed('rtp', options.rtpPrompts, (prompts, run) =>
    rtpToxicity(model, prompts, scorer as ToxicityScorer, { ...options.rtp, ...run }),
  );

  const figures: Figure[] = [];
  const add = (
    name: string,
    value: number | null,
    unit: Figure['unit'],
    convention: string,
    counts: Figure['counts'],
    interval: Interval | null = null,
  ) => figures.push({ name, value, unit, convention, counts, interval });
  const addPerplexity = (name: string, p: Perplexity) => {
    // `wikitext2.tokenPpl`, `.wordPpl`, `.bytePpl`; `lambada.runningPpl`, `.runningWordPpl`, `.runningBytePpl`: never a name of the last word's
    const per = (unit: 'Word' | 'Byte') => (name.endsWith('.token') ? name.replace(/token$/, unit.toLowerCase()) : `${name}${unit}`);
    const { tokens, scoredTokens, windows, window, stride } = p;
    const counts = { tokens, scoredTokens, windows, window, stride };
    add(`${name}Ppl`, p.ppl, 'perplexity', p.convention, counts);
    if (p.wordPpl !== null && p.words !== null)
      add(`${per('Word')}Ppl`, p.wordPpl, 'perplexity', `${p.convention}, per white-space word`, { ...counts, words: p.words });
    if (p.bytePpl !== null && p.bytes !== null)
      add(`${per('Byte')}Ppl`, p.bytePpl, 'perplexity', `${p.convention}, per byte`, { ...counts, bytes: p.bytes });
  };
  if (toxicity) {
    const { prompts, scored, empty, failed } = toxicity;
    add('toxicity.repair', toxicity.mean, 'score', toxicity.convention, { prompts, scored, empty, failed }, toxicity.interval);
  }
  if (rtp) {
    const { prompts, dropped, samples, empty, failed } = rtp;
    const counts = { prompts, dropped, samples, empty, failed };
    add('toxicity.rtp.expectedMaximum', rtp.expectedMaximum, 'score', rtp.convention, counts, rtp.expectedMaximumInterval);
    add('toxicity.rtp.probability', rtp.probability, 'share', rtp.convention, counts, rtp.probabilityInterval);
  }
  if (runningText) addPerplexity('wikitext2.token', runningText);
  if (lambadaRunning) addPerplexity('lambada.running', lambadaRunning);
  if (target) {
    const { texts, targetTokens, truncated, leftOut } = target;
    const counts = { texts, targetTokens, truncated, leftOut };
    add('lambada.targetPpl', target.targetPpl, 'perplexity', target.convention, counts);
    add('lambada.targetAcc', target.targetAcc, 'share', target.convention, counts);
  }
  if (tokens) {
    const { scoredTokens, windows, window, stride } = tokens;
    add('tokens.ppl', tokens.ppl, 'perplexity', tokens.convention, { tokens: tokens.tokens, scoredTokens, windows, window, stride });
  }

  const warnings = [toxicity, rtp].flatMap((t) =>
    t?.incomplete ? [`${t.protocol} is incomplete: the scorer ${t.scorer.name} failed on ${t.failed} texts, more than 1 %.`] : [],
  );
  const { family, layers, width, parameters, heldDtype, backend, device, threads } = model.summary;
  return {
    figures,
    toxicity,
    rtp,
    runningText,
    lambadaRunning,
    lambadaTarget: target,
    tokens,
    seconds,
    model: { family, layers, width, parameters, heldDtype, backend, device, threads, hash: model.hash },
    warnings,
  };
}

function checkOptions(model: LanguageModel, options: EvaluateOptions): void {
  const problems: string[] = [];
  const texts = {
    prompts: options.prompts,
    rtpPrompts: options.rtpPrompts,
    runningText: options.runningText,
    lambada: options.lambada,
    tokenIds: options.tokenIds,
  };
  const given = Object.entries(texts).filter(([, value]) => value !== undefined);
  if (given.length === 0) problems.push('nothing to evaluate was given: prompts, rtpPrompts, runningText, lambada or tokenIds');
  for (const [name, value] of given) if (value?.length === 0) problems.push(`${name} is empty`);
  if ((options.prompts || options.rtpPrompts) && !options.scorer) problems.push('prompts need a scorer');
  if (!model.tokenizer && given.some(([name]) => name !== 'tokenIds'))
    problems.push(`the model${model.directory ? ` in ${model.directory}` : ''} has no tokenizer, so only tokenIds can be evaluated`);
  if (problems.length > 0)
    throw new MendsetError('invalid-argument', `Expected something to evaluate but ${problems.join('; ')}.`, { problems });
  // mistakes of a later evaluation are told before the first one computes
  if (options.runningText || options.lambada || options.tokenIds) resolveWindows(options.perplexity ?? {}, model.summary.context);
  if (options.tokenIds) requireTokenIds(options.tokenIds, model.summary.vocab);
  for (const prompts of [options.prompts, options.rtpPrompts]) if (prompts) encodePrompts(model, prompts, model.summary.context);
}
