import { MendsetError } from '../core/errors.ts';
import type { RunOptions } from '../core/run-options.ts';
import { readPairs } from '../data/read-pairs.ts';
import { readTexts } from '../data/read-texts.ts';
import type { PairRecord } from '../data/record.ts';
import { LanguageModel } from '../model/language-model.ts';
import { WEIGHT_STORAGES } from '../model/load-weights.ts';
import { dapt } from '../repair/dapt.ts';
import { dpo } from '../repair/dpo.ts';
import { forecastRepair, type RepairForecast } from '../repair/forecast-repair.ts';
import { type IRepairOptions, irepair } from '../repair/irepair.ts';
import type { KlOptions, RepairMethod, RepairMethodName } from '../repair/method.ts';
import { npo } from '../repair/npo.ts';
import type { RepairOptions } from '../repair/options.ts';
import { PUBLISHED_SOURCES, publishedOptions } from '../repair/published.ts';
import { ReferenceCache } from '../repair/reference-cache.ts';
import { repair } from '../repair/repair.ts';
import type { RepairData } from '../repair/repair-data.ts';
import type { RepairResult, StepLog } from '../repair/result.ts';
import { sft } from '../repair/sft.ts';
import type { CommandContext } from './command-context.ts';

export interface PreparedRepair {
  readonly method: RepairMethod;
  readonly records: number;
  /** Loads the model, repairs it, and hands it to `finish` before it is disposed */
  run(
    options: RunOptions & Pick<RepairOptions, 'checkpoint' | 'resume'> & { onStep?: (log: StepLog) => void },
    finish: (model: LanguageModel, result: RepairResult) => Promise<void>,
  ): Promise<RepairResult>;
  /** What `run` will do and hold; loads no weights */
  forecast(): Promise<RepairForecast>;
}

/** Records held back from the end of the data unless told otherwise. */
const VALIDATION = 64;

/** Reads the options of `repair` and all its data, collects every mistake, and computes nothing yet. */
export async function prepareRepair({ options, shared, signal, progress }: CommandContext): Promise<PreparedRepair> {
  const model = options.required('model', 'to name the folder of the model to repair');
  const weights = options.oneOf('weights', WEIGHT_STORAGES);
  const data = options.texts('data');
  if (!options.has('data')) options.problem('Expected --data to name the repair records, but it is missing.');
  const methodName = options.requiredOneOf('method', ['dapt', 'sft', 'dpo', 'npo', 'irepair'] as const);
  const klWeight = options.number('kl', { above: 0 });
  const kl = klWeight === undefined ? undefined : { weight: klWeight };
  const normalPath = options.text('normal');
  const generate = options.count('generateNormal', 2);
  if (kl && normalPath === undefined && generate === undefined)
    options.problem('Expected --normal FILE or --generate-normal N, because the KL term compares the models on ordinary texts.');
  if (!kl && options.has('normal')) options.refuse(['normal', 'generateNormal'], 'without --kl');
  const referenceFolder = options.text('references');
  if (methodName && methodName !== 'dpo' && methodName !== 'npo' && !kl)
    options.refuse(['references'], `with --method ${methodName} without --kl`);
  if (referenceFolder !== undefined) await options.output(referenceFolder, 'folder', 'references');
  const columns = options.columns('columns');
  const beta = options.number('beta', { above: 0 });
  if (methodName && methodName !== 'dpo' && methodName !== 'npo') options.refuse(['beta'], `with --method ${methodName}`);
  const slice = options.countOr('slice', ['most-sensitive', 'least-sensitive', 'fixed'] as const, 0);
  const blocks = options.count('blocks', 1);
  if (methodName && methodName !== 'irepair') options.refuse(['slice', 'blocks'], `with --method ${methodName}`);
  const rank = options.count('lora', 1);
  if (rank === undefined) options.refuse(['loraAlpha', 'loraTargets', 'adapter'], 'without --lora');
  const lora =
    rank === undefined
      ? undefined
      : {
          rank,
          alpha: options.number('loraAlpha', { above: 0 }),
          targets: options.has('loraTargets') ? options.texts('loraTargets') : undefined,
        };
  const adapter = options.text('adapter');
  await options.output(adapter, 'folder', 'adapter');
  const log = { jsonl: options.text('log'), tensorboard: options.text('tensorboard') };
  await options.output(log.jsonl, 'file', 'log');
  await options.output(log.tensorboard, 'folder', 'tensorboard');
  const everySteps = options.count('checkpointEvery', 1);
  const published = options.oneOf('published', PUBLISHED_SOURCES);
  const steps = options.count('steps', 1);
  if (steps !== undefined) options.refuse(['epochs', 'maxSteps'], 'with --steps');
  const given: RepairOptions = {
    lora,
    steps,
    preset: options.oneOf('preset', ['principled', 'paper'] as const),
    learningRate: options.number('learningRate', { above: 0 }),
    batchSize: options.count('batchSize', 1),
    epochs: options.count('epochs', 1),
    maxSteps: options.count('maxSteps', 1),
    warmupSteps: options.count('warmupSteps'),
    clipNorm: options.number('clipNorm', { min: 0 }),
    evalEvery: options.count('evalEvery', 1),
    patience: options.count('patience', 1),
    order: options.oneOf('order', ['shuffled', 'selection', 'pool'] as const),
    memoryBudget: options.bytes('memoryBudget'),
    microBatchTokens: options.count('microBatchTokens', 1),
    recompute: options.flag('recompute') || undefined,
    seed: shared.seed,
  };
  const optimizer = options.oneOf('optimizer', ['rmsprop', 'adamw'] as const);

  await options.input(model, 'folder', 'model');
  for (const path of data) await options.input(path, 'any', 'data');
  await options.input(normalPath, 'file', 'normal');
  const validationText = options.text('validation') ?? (options.has('validation') ? String(options.count('validation') ?? '') : undefined);
  const validationCount = validationText === undefined ? null : /^\d+$/.test(validationText) ? Number(validationText) : null;
  const validationFile = validationText !== undefined && validationCount === null && validationText !== '' ? validationText : undefined;
  await options.input(validationFile, 'any', 'validation');

  const readable = options.problems.length === 0;
  const reading = { signal, columns, onProgress: progress.update.bind(progress) };
  const pairs = readable ? await options.attempt(() => readPairs(data, reading)) : undefined;
  const held = readable && validationFile !== undefined ? await options.attempt(() => readPairs([validationFile], reading)) : undefined;
  const normal =
    readable && normalPath !== undefined
      ? await options.attempt(() => readTexts(normalPath, { signal, onProgress: reading.onProgress }))
      : undefined;
  const records = pairs?.records ?? [];
  const holdBack = held ? 0 : (validationCount ?? Math.min(VALIDATION, Math.floor(records.length / 5)));
  if (pairs && holdBack >= records.length)
    options.problem(`Expected --validation below the ${records.length} records of --data but received ${holdBack}.`);
  const train: readonly PairRecord[] = records.slice(0, records.length - holdBack);
  const method = makeMethod(methodName ?? 'dapt', kl, { beta, slice, blocks });
  const settings: RepairOptions = { ...(published ? publishedOptions(published, method) : {}), ...definedOf(given) };
  if (steps !== undefined && published) Object.assign(settings, { epochs: undefined });
  if (method.needsRejected) {
    const without = train.filter((r) => r.rejected === null && r.rejectedIds === undefined);
    if (without.length > 0)
      options.problem(
        `Expected a rejected text in every record for ${method.name}, but ${without[0]?.source} has none${without.length > 1 ? ` (and ${without.length - 1} more)` : ''}; only dapt and sft can use such records.`,
      );
  }

  const repairData = (): RepairData => ({
    train,
    validation: held?.records ?? records.slice(records.length - holdBack),
    normal: normal?.texts,
    appendEos: (pairs as NonNullable<typeof pairs>).appendEos,
    poolIndices: train.map((_, i) => i),
  });
  const repairSettings: RepairOptions = {
    ...settings,
    ...(optimizer ? { optimizer: { kind: optimizer } } : {}),
    // nothing can choose the best weights without validation
    ...(holdBack === 0 && !held ? { keep: 'last' as const } : {}),
  };

  return {
    method,
    records: train.length,
    async forecast() {
      if (kl && !normal)
        throw new MendsetError(
          'invalid-argument',
          'Expected --normal FILE for --dry-run with --kl, because texts that are still to be generated have no length yet.',
        );
      return await forecastRepair(model, repairData(), method, {
        ...repairSettings,
        backend: shared.backend,
        threads: shared.threads,
        weights,
      });
    },
    async run({ onStep, ...run }, finish) {
      using loaded = await LanguageModel.load(model, {
        backend: shared.backend,
        threads: shared.threads,
        weights,
        signal: run.signal,
        onProgress: run.onProgress,
      });
      using references = referenceFolder === undefined ? null : new ReferenceCache({ folder: referenceFolder });
      const result = await repair(loaded, repairData(), method, {
        ...repairSettings,
        ...(generate === undefined ? {} : { generateNormal: { count: generate } }),
        ...(references ? { references } : {}),
        ...run,
        ...(run.checkpoint ? { checkpoint: { ...run.checkpoint, everySteps } } : {}),
        log,
        ...(adapter === undefined ? {} : { onAdapter: (trainer) => trainer.saveAdapter(adapter) }),
        ...(onStep ? { onStep } : {}),
      });
      if (run.signal?.aborted) throw new MendsetError('aborted', 'Interrupted.');
      await finish(loaded, result);
      return result;
    },
  };
}

function makeMethod(
  name: RepairMethodName,
  kl: KlOptions | undefined,
  own: { beta?: number | undefined } & Pick<IRepairOptions, 'slice' | 'blocks'>,
): RepairMethod {
  switch (name) {
    case 'dapt':
      return dapt({ kl });
    case 'sft':
      return sft({ kl });
    case 'dpo':
      return dpo({ kl, beta: own.beta });
    case 'npo':
      return npo({ kl, beta: own.beta });
    case 'irepair':
      return irepair({ kl, slice: own.slice, blocks: own.blocks });
  }
}

/** Without what was not given, so that it overrides nothing. */
function definedOf<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;
}
