import { join } from 'node:path';
import { MendsetError } from '../core/errors.ts';
import { sha256Hex } from '../core/hash.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { TokenSequence } from '../model/sequences.ts';
import { Trainer } from '../model/trainer.ts';
import { paperFlopsPerToken } from './flops.ts';
import { runLoop } from './loop.ts';
import { methodLabel, type RepairMethod } from './method.ts';
import { generateNormal } from './normal-texts.ts';
import { Objective } from './objective.ts';
import { type RepairOptions, type ResolvedOptions, resolveOptions } from './options.ts';
import { ReferenceCache } from './reference-cache.ts';
import { type PreparedData, prepareData, type RepairData } from './repair-data.ts';
import type { RepairResult } from './result.ts';
import { newRunState, REFERENCES, type RunState, RunStateFolder } from './run-state.ts';
import { learningRateAt, usedNormalTexts } from './schedule.ts';
import { blockSensitivities, mostSensitiveBlocks } from './sensitivity.ts';
import { TrainingLog } from './training-log.ts';

/** Steps between two states of a run with a checkpoint folder. */
const DEFAULT_EVERY_STEPS = 250;

/**
 * Repairs `model` in place on the chosen records and returns what happened. Everything is tokenised and checked before the first
 * step. Equal inputs give equal weights, for any thread count and however often the run was interrupted and resumed.
 *
 * Rejects with `invalid-argument` (options), `invalid-data` (records, all mistakes listed), `aborted` (with `checkpoint` the step is
 * finished and the state written; without, the model's weights are those of no particular step) and `non-finite` (the model is put
 * back to its best validation, if there was one).
 *
 * @example
 * const result = await repair(model, { train, validation, normal, appendEos: false }, irepair({ kl: {} }), { seed: 202 });
 * await model.save('repaired');
 */
export async function repair(
  model: LanguageModel,
  data: RepairData,
  method: RepairMethod,
  options: RepairOptions = {},
): Promise<RepairResult> {
  const resolved = resolveOptions(method, options, model.summary.context);
  checkSlice(method, model.summary.layers);
  if (options.reference) checkReference(model, options.reference);
  const warnings: string[] = [];
  const sourceHash = model.hash; // null once a step has changed the weights
  const prepared = prepareData(model, await withNormal(model, data, method, options, warnings), method, resolved);
  warnings.push(...prepared.warnings);
  options.onProgress?.({ phase: 'tokenise', done: prepared.train.length, total: prepared.train.length });
  const fingerprint = runFingerprint(model, method, resolved, prepared);

  const original = options.reference ?? model;
  // weights without a hash cannot be told from others, so nothing that was kept for others may serve them
  const shared = original.hash === null ? undefined : options.references;
  const beside = original.hash === null ? undefined : options.checkpoint?.directory;
  using own = shared ? null : new ReferenceCache({ folder: beside === undefined ? undefined : join(beside, REFERENCES) });
  const objective = new Objective(method, resolved, shared ?? (own as ReferenceCache), model.summary);
  const texts = method.kl ? usedNormalTexts(prepared.normal, prepared.train.length, resolved) : [];
  await objective.prepare(original, [...prepared.train, ...prepared.validation], [...texts, ...prepared.normalValidation], options);
  // the original's final norm and head are all that a step needs of it from here on
  using trainer = new Trainer(model, {
    reference: method.kl ? original : undefined,
    optimizer: resolved.optimizer,
    adapter: resolved.lora ?? undefined,
    seed: resolved.seed,
    memoryBudget: resolved.memoryBudget,
    microBatchTokens: resolved.microBatchTokens,
    checkpoint: resolved.recompute,
  });

  const folder = options.checkpoint ? new RunStateFolder(options.checkpoint.directory, fingerprint) : null;
  const resumed = folder && options.resume ? await folder.read(model, trainer) : null;
  const state = resumed ?? newRunState(model.summary.layers);
  const resumedAt = resumed ? resumed.step : null;
  const before = { seconds: state.seconds.reference, flops: state.referenceFlops };
  const addReference = () => {
    state.seconds.reference = before.seconds + objective.seconds;
    state.referenceFlops = before.flops + objective.flops;
  };
  if (method.slice.kind === 'fixed' && state.fixedBlocks === null) {
    const { blocks, sample, count } = method.slice;
    if (blocks) {
      state.fixedBlocks = [...blocks];
    } else {
      state.initialSensitivities = [...(await blockSensitivities(model, prepared.train.slice(0, sample), resolved.batchSize, options))];
      state.fixedBlocks = mostSensitiveBlocks(state.initialSensitivities, count);
    }
  }

  const log = options.log ? await TrainingLog.open(options.log, resumed) : null;
  const everySteps = options.checkpoint?.everySteps ?? DEFAULT_EVERY_STEPS;
  const write = async () => {
    addReference();
    try {
      await folder?.write(model, trainer, state);
    } catch (error) {
      throw withLastState(error, folder, state);
    }
  };
  let stoppedBecause: RepairResult['stoppedBecause'];
  try {
    stoppedBecause = await runLoop(trainer, objective, method, resolved, prepared, data.poolIndices, state, {
      signal: options.signal,
      onProgress: options.onProgress,
      onStep: options.onStep,
      finishSteps: folder !== null,
      log,
      afterStep: async () => {
        if (folder && state.step % everySteps === 0) await write();
      },
    });
  } catch (error) {
    const code = error instanceof MendsetError ? error.code : null;
    if (code === 'aborted' && state.step > 0) await write();
    if (code !== 'non-finite') throw error;
    // an earlier state is from before the trouble, so it stays
    if (folder && folder.writtenStep === null && state.step > 0) await write();
    if (state.best) trainer.restore();
    throw withConsequences(error as MendsetError, state, options.checkpoint?.directory, folder !== null && folder.writtenStep !== null);
  } finally {
    await log?.close();
  }
  addReference();

  const keepBest = resolved.keep === 'best' && state.best !== null;
  if (keepBest && state.best?.step !== state.step) trainer.restore();
  if (resolved.keep === 'best' && state.best === null && prepared.validation.length > 0) {
    warnings.push(`The run ended before its first validation (${resolved.evalEvery} examples): the last weights are kept.`);
  }
  if (resolved.lora) {
    await options.onAdapter?.(trainer);
    trainer.mergeAdapter();
  }
  if (state.step > 0 && state.step < resolved.warmupSteps) {
    warnings.push(
      `The run ended while it warmed up: its learning rate reached ${learningRateAt(state.step - 1, resolved.learningRate, resolved.warmupSteps).toPrecision(2)} of ${resolved.learningRate}, because ${state.step} steps are fewer than warmupSteps ${resolved.warmupSteps}.`,
    );
  }
  const possible = earlyStoppingPossible(resolved, prepared.train.length);
  if (!possible && prepared.validation.length > 0) {
    warnings.push(
      `Early stopping was inert: ${resolved.patience} validations without improvement cannot happen within ${prepared.train.length * resolved.epochs} examples.`,
    );
  }
  return summarize(model, method, resolved, prepared, state, {
    stoppedBecause,
    keptStep: keepBest ? (state.best?.step ?? state.step) : state.step,
    earlyStoppingPossible: possible,
    fingerprint,
    resumedAt,
    sourceHash,
    warnings,
  });
}

/** A state that could not be written, with the one that is still there. */
function withLastState(error: unknown, folder: RunStateFolder | null, state: RunState): unknown {
  if (!(error instanceof MendsetError) || error.code !== 'io' || !folder) return error;
  const kept =
    folder.writtenStep === null
      ? 'there is no earlier state'
      : `the state of step ${folder.writtenStep} is kept in ${folder.directory}: free some space there and resume`;
  return new MendsetError('io', `${error.message.replace(/\.$/, '')}; the run stopped after step ${state.step}, ${kept}.`, {
    cause: error,
  });
}

/** The same error with what has become of the run. */
function withConsequences(error: MendsetError, state: RunState, directory: string | undefined, saved: boolean): MendsetError {
  const parts = [
    state.best ? `the model is back at its best validation, after step ${state.best.step}` : 'there was no validation to go back to',
    saved ? `a state from before is kept in ${directory}` : null,
  ];
  return new MendsetError(error.code, `${error.message.replace(/\.$/, '')}; ${parts.filter((p) => p !== null).join(', ')}.`, {
    cause: error.cause ?? error,
  });
}

/** The patience can run out at the earliest after the first validation and `patience` more, before a step that still follows. */
function earlyStoppingPossible(options: ResolvedOptions, records: number): boolean {
  const examples = Math.min(records * options.epochs, (options.maxSteps ?? Number.POSITIVE_INFINITY) * options.batchSize);
  return examples > options.evalEvery * (options.patience + 1);
}

function checkReference(model: LanguageModel, reference: LanguageModel): void {
  const [own, other] = [model, reference].map(({ summary, tokenizer }) => ({
    vocab: summary.vocab,
    width: summary.width,
    tokenizer: tokenizer?.hash,
  }));
  if (!own || !other) return;
  const problem =
    own.vocab !== other.vocab
      ? `a vocabulary of ${other.vocab} where the model has ${own.vocab}`
      : own.tokenizer !== undefined && other.tokenizer !== undefined && own.tokenizer !== other.tokenizer
        ? 'another tokenizer than the model'
        : own.width !== other.width
          ? `a width of ${other.width} where the model has ${own.width}`
          : null;
  if (problem)
    throw new MendsetError(
      'invalid-argument',
      `Expected a reference that reads the model's tokens but it has ${problem}: leave it out, or name the model that this one came from.`,
    );
}

function checkSlice(method: RepairMethod, layers: number): void {
  if (method.slice.kind === 'all') return;
  const { count } = method.slice;
  if (!Number.isSafeInteger(count) || count < 1 || count > layers)
    throw new MendsetError('invalid-argument', `Expected between 1 and ${layers} blocks to repair at once but received ${count}.`);
  if (method.slice.kind !== 'fixed') return;
  const wrong = method.slice.blocks?.find((block) => !Number.isSafeInteger(block) || block < 0 || block >= layers);
  if (wrong !== undefined)
    throw new MendsetError('invalid-argument', `Expected the block to repair to be between 0 and ${layers - 1} but received ${wrong}.`);
}

async function withNormal(
  model: LanguageModel,
  data: RepairData,
  method: RepairMethod,
  options: RepairOptions,
  warnings: string[],
): Promise<RepairData> {
  if (!method.kl || data.normal !== undefined || options.generateNormal === undefined) return data;
  const normal = await generateNormal(model, { ...options.generateNormal, signal: options.signal, onProgress: options.onProgress });
  if (normal.toxicDropped + normal.shortDropped > 0) {
    warnings.push(
      `${normal.toxicDropped} toxic and ${normal.shortDropped} too short texts of ${normal.sampled} generated normal texts were dropped.`,
    );
  }
  if (!options.generateNormal.score) warnings.push('The generated normal texts were not filtered by toxicity: no scorer was given.');
  return { ...data, normal: normal.ids };
}

function runFingerprint(model: LanguageModel, method: RepairMethod, options: ResolvedOptions, data: PreparedData): string {
  const bytes = (s: TokenSequence) => [new Uint8Array(s.ids.buffer, s.ids.byteOffset, s.ids.byteLength), s.mask];
  const { family, layers, width, vocab, parameters, backend } = model.summary;
  return sha256Hex([
    JSON.stringify([method, options, model.hash, family, layers, width, vocab, parameters, backend]),
    ...[data.train, data.validation].flatMap((pairs) => [
      `pairs ${pairs.length}`,
      ...pairs.flatMap((p) => [p.chosen, p.rejected].flatMap((s) => (s ? bytes(s) : []))),
    ]),
    ...[data.normal, data.normalValidation].flatMap((rows) => [`normal ${rows.length}`, ...rows.flatMap(bytes)]),
  ]);
}

function summarize(
  model: LanguageModel,
  method: RepairMethod,
  options: ResolvedOptions,
  data: PreparedData,
  state: RunState,
  outcome: Pick<RepairResult, 'stoppedBecause' | 'keptStep' | 'earlyStoppingPossible' | 'fingerprint' | 'resumedAt' | 'warnings'> & {
    sourceHash: string | null;
  },
): RepairResult {
  const { sourceHash, ...rest } = outcome;
  const { family, layers, width, parameters, heldDtype, backend, device, threads } = model.summary;
  const { train, validation, reference } = state.seconds;
  return {
    method: method.name,
    label: methodLabel(method),
    kl: method.kl,
    repairWeight: method.repairWeight,
    slice: method.slice.kind === 'fixed' ? { ...method.slice, blocks: state.fixedBlocks } : method.slice,
    preset: options.preset,
    steps: state.step,
    examples: state.examples,
    epochs: Math.floor(state.examples / data.train.length),
    ...rest,
    bestStep: state.best?.step ?? null,
    bestLoss: state.best?.loss ?? null,
    validation: state.curve,
    log: state.log,
    blockCounts: method.slice.kind === 'all' ? [] : state.blockCounts,
    initialSensitivities: state.initialSensitivities,
    sensitivities: state.sensitivitySteps === 0 ? [] : state.sensitivitySums.map((sum) => sum / state.sensitivitySteps),
    usedRecords: data.train.length,
    leftOut: data.leftOut,
    cost: {
      seconds: { total: train + validation + reference, train, validation, reference },
      examples: state.examples,
      tokens: state.tokens,
      flopsCounted: state.flops + state.referenceFlops,
      flopsReference: state.referenceFlops,
      flopsPaper: paperFlopsPerToken(method, model.summary) * state.textTokens,
    },
    seeds: { training: options.seed },
    parameters: options,
    model: { family, layers, width, parameters, heldDtype, backend, device, threads, hash: sourceHash },
  };
}
