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
  /** null where the method does not read it; never both */
  readonly chosen: TokenSequence | null;
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
  if (train.length > 0 && train.length < options.batchSize) {
    problems.push(
      `only ${train.length} of ${data.train.length} training records are usable and a step takes ${options.batchSize}: lower batchSize or give more records`,
    );
  }
  if (validation.length === 0 && options.keep === 'best') {
    problems.push(
      `no usable validation record of ${data.validation.length} is there to choose the best weights by: give some, or set keep to 'last'`,
    );
  } else if (validation.length === 0) {
    warnings.push('There are no validation records: nothing can stop the run early and the last weights are kept.');
  }
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
  const encode = (ids: readonly number[] | undefined, text: string, specials: false | 'before' = false) =>
    ids ? Int32Array.from(ids) : model.requireTokenizer().encode(text, { specials });
  const chosenIds = method.needsChosen ? encode(record.chosenIds, record.chosen) : null;
  if (chosenIds?.length === 0) {
    leftOut.emptyChosen++;
    return null;
  }
  let rejectedIds: Int32Array | null = null;
  if (method.needsRejected) {
    if (record.rejected === null && record.rejectedIds === undefined) {
      throw new MendsetError('invalid-data', `${method.name} needs a rejected text and the record has none (only dapt and sft can use it)`);
    }
    rejectedIds = encode(record.rejectedIds, record.rejected ?? '');
    if (rejectedIds.length === 0) {
      leftOut.emptyRejected++;
      return null;
    }
    if (method.loss === 'dpo' && chosenIds && sameIds(chosenIds, rejectedIds)) {
      leftOut.chosenEqualsRejected++;
      return null;
    }
  }
  const promptIds = encode(record.promptIds, record.prompt, 'before');
  const sequence = (completion: Int32Array) => recordSequence(promptIds, finish(completion, appendEos, eos), eos, options);
  const chosen = chosenIds && sequence(chosenIds);
  const rejected = rejectedIds && sequence(rejectedIds);
  for (const s of [chosen, rejected]) if (s) requireInVocabulary(s.ids, model.summary.vocab);
  const own = (chosenIds ?? rejectedIds) as Int32Array;
  const completion = Math.min(own.length + (appendEos && eos !== null ? 1 : 0), options.completionTokens, options.totalTokens - 1);
  const promptTokens = ((chosen ?? rejected) as TokenSequence).ids.length - completion;
  return { id: record.id, hash: record.hash, index, promptTokens, chosen, rejected };
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
  const first = options.mask === 'completion' ? ids.length - kept : 1;
  for (let t = first; t < ids.length; t++) mask[t] = ids[t] === PAPER_PAD_ID ? 0 : 1;
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
    const all = typeof text === 'string' ? model.requireTokenizer().encode(text, { specials: 'before' }) : Int32Array.from(text);
    const paper = options.preset === 'paper';
    const ids = all.slice(0, paper ? Math.min(options.totalTokens, model.summary.context - 1) : options.totalTokens);
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
    sequences.push(paper ? unshifted(ids) : { ids, mask: new Uint8Array(ids.length).fill(1, 1) });
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

/**
 * The published code compares the models at every position whose own id is not 50256, the last one included. A position counts here
 * when its successor is scored, so the text gets one more token, which nothing reads.
 */
function unshifted(text: Int32Array): TokenSequence {
  const ids = new Int32Array(text.length + 1);
  ids.set(text);
  const mask = new Uint8Array(ids.length);
  text.forEach((id, t) => {
    mask[t + 1] = id === PAPER_PAD_ID ? 0 : 1;
  });
  return { ids, mask };
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
