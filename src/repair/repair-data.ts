import { MendsetError } from '../core/errors.ts';
import type { PairRecord } from '../data/record.ts';
import type { LanguageModel } from '../model/language-model.ts';
import { completionSequence, type TokenSequence } from '../model/sequences.ts';
import type { RepairMethod } from './method.ts';
import type { ResolvedOptions } from './options.ts';

/** A text the model should go on speaking like: its words, or its token ids. */
export type NormalText = string | ArrayLike<number>;

export interface RepairData {
  /** The chosen records, in selection order */
  readonly train: readonly PairRecord[];
  readonly validation: readonly PairRecord[];
  /** D_N of the KL term; its last 64 texts become validation (a quarter of fewer than 128) */
  readonly normal?: readonly NormalText[] | undefined;
  /** End completions with the end-of-text token (true for TRL and ParaDetox, false for dpo_toxic) */
  readonly appendEos: boolean;
  /** Place of each training record in its pool; needed by `order: 'pool'` alone */
  readonly poolIndices?: readonly number[] | undefined;
}

export interface PreparedPair {
  readonly id: string;
  readonly hash: string;
  /** Index in `data.train` */
  readonly index: number;
  /** Tokens before the completion */
  readonly promptTokens: number;
  readonly chosen: TokenSequence;
  /** null where the method does not read it */
  readonly rejected: TokenSequence | null;
}

/** Records that were left out, counted by reason. */
export interface LeftOut {
  emptyChosen: number;
  emptyRejected: number;
  /** Only DPO, which learns nothing from such a pair */
  chosenEqualsRejected: number;
}

export interface PreparedData {
  readonly train: readonly PreparedPair[];
  readonly validation: readonly PreparedPair[];
  readonly normal: readonly TokenSequence[];
  readonly normalValidation: readonly TokenSequence[];
  readonly leftOut: LeftOut;
  readonly warnings: readonly string[];
}

const NORMAL_VALIDATION = 64;
/** The id the published code takes for padding, whatever the model. */
const PAPER_PAD_ID = 50256;

type Encoder = Pick<LanguageModel, 'tokenizer' | 'requireTokenizer'> & {
  readonly summary: Pick<LanguageModel['summary'], 'vocab' | 'context' | 'eos'>;
};

/**
 * Tokenises and checks everything before the first step. Unusable records are left out and counted; mistakes (a missing rejected
 * text, ids outside the vocabulary, no normal texts for KL) reject with one `invalid-data` that lists them all.
 */
export function prepareData(model: Encoder, data: RepairData, method: RepairMethod, options: ResolvedOptions): PreparedData {
  // one sentence instead of one for each record
  if ([...data.train, ...data.validation].some((r) => r.chosenIds === undefined)) model.requireTokenizer();
  const problems: string[] = [];
  const leftOut: LeftOut = { emptyChosen: 0, emptyRejected: 0, chosenEqualsRejected: 0 };
  const prepare = (records: readonly PairRecord[]) =>
    records.flatMap((record, index) => {
      try {
        return preparePair(model, record, index, data.appendEos, method, options, leftOut) ?? [];
      } catch (error) {
        if (!(error instanceof MendsetError)) throw error;
        problems.push(`${record.source} (${record.id}): ${error.message}`);
        return [];
      }
    });
  const train = prepare(data.train);
  const validation = prepare(data.validation);
  const warnings: string[] = [];
  const leftOutCount = leftOut.emptyChosen + leftOut.emptyRejected + leftOut.chosenEqualsRejected;
  if (leftOutCount > 0) {
    warnings.push(
      `${leftOutCount} records were left out: ${leftOut.emptyChosen} with an empty chosen text, ${leftOut.emptyRejected} with an empty rejected text, ${leftOut.chosenEqualsRejected} whose chosen and rejected texts are equal.`,
    );
  }
  if (train.length === 0 && problems.length === 0) problems.push('no usable training record is left');
  if (options.order === 'pool' && data.poolIndices?.length !== data.train.length) {
    problems.push(`order 'pool' needs poolIndices, one for each of the ${data.train.length} training records`);
  }
  if (validation.length === 0)
    warnings.push('There are no validation records: nothing can stop the run early and the last weights are kept.');
  const normal = method.kl ? prepareNormal(model, data.normal ?? [], options, problems, warnings) : { train: [], validation: [] };
  if (problems.length > 0) {
    const rest = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
    throw new MendsetError('invalid-data', `Expected data that ${method.name} can use but ${problems[0]}${rest}.`, { problems });
  }
  return { train, validation, normal: normal.train, normalValidation: normal.validation, leftOut, warnings };
}

function preparePair(
  model: Encoder,
  record: PairRecord,
  index: number,
  appendEos: boolean,
  method: RepairMethod,
  options: ResolvedOptions,
  leftOut: LeftOut,
): PreparedPair | null {
  const eos = model.tokenizer?.eos ?? (model.summary.eos >= 0 ? model.summary.eos : null);
  const encode = (ids: readonly number[] | undefined, text: string) => (ids ? Int32Array.from(ids) : model.requireTokenizer().encode(text));
  const chosenIds = encode(record.chosenIds, record.chosen);
  if (chosenIds.length === 0) {
    leftOut.emptyChosen++;
    return null;
  }
  let rejectedIds: Int32Array | null = null;
  if (method.needsRejected) {
    if (record.rejected === null && record.rejectedIds === undefined) {
      throw new MendsetError('invalid-data', `${method.name} needs a rejected text and the record has none (only dapt can use it)`);
    }
    rejectedIds = encode(record.rejectedIds, record.rejected ?? '');
    if (rejectedIds.length === 0) {
      leftOut.emptyRejected++;
      return null;
    }
    if (method.loss === 'dpo' && sameIds(chosenIds, rejectedIds)) {
      leftOut.chosenEqualsRejected++;
      return null;
    }
  }
  const promptIds = encode(record.promptIds, record.prompt);
  const sequence = (completion: Int32Array) => recordSequence(promptIds, finish(completion, appendEos, eos), eos, options);
  const chosen = sequence(chosenIds);
  const rejected = rejectedIds === null ? null : sequence(rejectedIds);
  for (const s of rejected ? [chosen, rejected] : [chosen]) requireInVocabulary(s.ids, model.summary.vocab);
  const completion = Math.min(chosenIds.length + (appendEos && eos !== null ? 1 : 0), options.completionTokens, options.totalTokens - 1);
  return { id: record.id, hash: record.hash, index, promptTokens: chosen.ids.length - completion, chosen, rejected };
}

/** Prompt and completion as one sequence, under the preset's truncation and mask. */
export function recordSequence(
  prompt: Int32Array,
  completion: Int32Array,
  eos: number | null,
  options: Pick<ResolvedOptions, 'preset' | 'mask' | 'completionTokens' | 'totalTokens'>,
): TokenSequence {
  const limits = { completion: options.completionTokens, total: options.totalTokens };
  if (options.preset !== 'paper') return completionSequence(prompt, completion, { ...limits, eos, mask: options.mask });
  // The published code keeps the prompt's start and scores every target whose id is not 50256, prompt included.
  const kept = Math.min(completion.length, limits.completion, limits.total - 1);
  const start = prompt.slice(0, limits.total - kept);
  const { ids } = completionSequence(start, completion, { ...limits, eos });
  const mask = new Uint8Array(ids.length);
  for (let t = 1; t < ids.length; t++) mask[t] = ids[t] === PAPER_PAD_ID ? 0 : 1;
  return { ids, mask };
}

function prepareNormal(
  model: Encoder,
  texts: readonly NormalText[],
  options: ResolvedOptions,
  problems: string[],
  warnings: string[],
): { train: TokenSequence[]; validation: TokenSequence[] } {
  const sequences: TokenSequence[] = [];
  let short = 0;
  texts.forEach((text, i) => {
    const all = typeof text === 'string' ? model.requireTokenizer().encode(text) : Int32Array.from(text);
    const ids = all.slice(0, options.totalTokens);
    if (ids.length < 2) {
      short++;
      return;
    }
    try {
      requireInVocabulary(ids, model.summary.vocab);
    } catch (error) {
      problems.push(`normal text ${i}: ${(error as Error).message}`);
      return;
    }
    const mask = new Uint8Array(ids.length);
    for (let t = 1; t < ids.length; t++) mask[t] = options.preset === 'paper' && ids[t - 1] === PAPER_PAD_ID ? 0 : 1;
    sequences.push({ ids, mask });
  });
  if (short > 0) warnings.push(`${short} normal texts of fewer than 2 tokens were left out.`);
  if (sequences.length < 2) {
    problems.push(
      `the KL term needs normal texts and ${sequences.length} usable ones came: give data.normal, or generateNormal to sample them from the model`,
    );
    return { train: [], validation: [] };
  }
  const held = sequences.length >= 2 * NORMAL_VALIDATION ? NORMAL_VALIDATION : Math.max(1, Math.floor(sequences.length / 4));
  return { train: sequences.slice(0, -held), validation: sequences.slice(-held) };
}

function finish(completion: Int32Array, appendEos: boolean, eos: number | null): Int32Array {
  if (!appendEos || eos === null) return completion;
  const ids = new Int32Array(completion.length + 1);
  ids.set(completion);
  ids[completion.length] = eos;
  return ids;
}

function requireInVocabulary(ids: Int32Array, vocab: number): void {
  for (const id of ids) {
    if (id < 0 || id >= vocab) throw new MendsetError('invalid-data', `token id ${id} is outside the model's vocabulary of ${vocab}`);
  }
}

function sameIds(a: Int32Array, b: Int32Array): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i]);
}
