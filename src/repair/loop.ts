import { MendsetError } from '../core/errors.ts';
import { type RunOptions, throwIfAborted } from '../core/run-options.ts';
import type { TokenSequence } from '../model/sequences.ts';
import type { StepResult } from '../model/trainer.ts';
import type { RepairMethod } from './method.ts';
import type { Objective } from './objective.ts';
import type { ResolvedOptions } from './options.ts';
import type { PreparedData, PreparedPair } from './repair-data.ts';
import type { RepairResult, StepLog } from './result.ts';
import type { RunState } from './run-state.ts';
import { learningRateAt, normalDraws, plannedSteps, trainingOrder } from './schedule.ts';
import type { StepCost, TrainingLog } from './training-log.ts';
import { type LossEvaluator, validate } from './validate.ts';

/** What the loop needs of a trainer. */
export interface LoopTrainer extends LossEvaluator {
  snapshot(): void;
}

export interface LoopHooks extends RunOptions {
  readonly onStep?: ((log: StepLog) => void) | undefined;
  readonly log?: Pick<TrainingLog, 'step' | 'validation'> | null;
  /** After every step, with the state complete */
  readonly afterStep?: (() => Promise<void>) | undefined;
  /** Let a step that has begun finish when the signal fires (so that a state can be written) */
  readonly finishSteps?: boolean;
}

/**
 * The training loop of every method: validate when due, then step, until the epochs, the step limit or the patience is over; then
 * a last validation. `state` is up to date after every step, which is what makes a run resumable.
 */
export async function runLoop(
  trainer: LoopTrainer,
  objective: Objective,
  method: RepairMethod,
  options: ResolvedOptions,
  data: PreparedData,
  poolIndices: readonly number[] | undefined,
  state: RunState,
  hooks: LoopHooks,
): Promise<RepairResult['stoppedBecause']> {
  const n = data.train.length;
  const draws = method.kl ? normalDraws(data.normal.length, options.batchSize, options.seed, options.preset) : null;
  const totalSteps = plannedSteps(options, n);
  const indices = poolIndices && data.train.map((pair) => poolIndices[pair.index] as number);
  let stopped: RepairResult['stoppedBecause'] | null = null;
  let orderEpoch = -1;
  let order: Int32Array = new Int32Array(0);

  while (stopped === null) {
    throwIfAborted(hooks.signal);
    if (state.position >= n) {
      state.epoch++;
      state.stepInEpoch = 0;
      state.position = 0;
    }
    if (state.epoch >= options.epochs) {
      stopped = 'epochs';
      break;
    }
    if (options.maxSteps !== null && state.step >= options.maxSteps) {
      stopped = 'max-steps';
      break;
    }
    if (state.examples > 0 && state.examples % options.evalEvery === 0 && state.validatedExamples !== state.examples) {
      await runValidation(trainer, objective, method, options, data, state, hooks);
      if (state.withoutImprovement >= options.patience) {
        stopped = 'patience';
        break;
      }
    }
    if (orderEpoch !== state.epoch) {
      orderEpoch = state.epoch;
      order = trainingOrder(n, options.order, options.seed, state.epoch, indices);
    }
    const pairs = Array.from(order.subarray(state.position, state.position + options.batchSize), (i) => data.train[i] as PreparedPair);
    const normal = draws ? Array.from(draws.at(state.step, state.stepInEpoch), (i) => data.normal[i] as TokenSequence) : [];
    const { log, cost } = await runStep(trainer, objective, method, options, pairs, normal, state, hooks);
    await hooks.log?.step(log, cost);
    hooks.onStep?.(log);
    hooks.onProgress?.({ phase: 'repair', done: state.step, total: totalSteps, detail: `loss ${log.loss.toPrecision(4)}` });
    await hooks.afterStep?.();
  }
  if (options.finalValidation && state.validatedExamples !== state.examples) {
    await runValidation(trainer, objective, method, options, data, state, hooks);
  }
  return stopped;
}

async function runStep(
  trainer: LoopTrainer,
  objective: Objective,
  method: RepairMethod,
  options: ResolvedOptions,
  pairs: readonly PreparedPair[],
  normal: readonly TokenSequence[],
  state: RunState,
  hooks: LoopHooks,
): Promise<{ log: StepLog; cost: StepCost }> {
  const start = performance.now();
  const kl = await objective.klTerm(normal);
  const learningRate = learningRateAt(state.step, options.learningRate, options.warmupSteps);
  const request = {
    ...objective.repairTerm(pairs),
    ...kl,
    ...objective.slice(pairs, state.fixedBlocks),
    update: true,
    lr: learningRate,
    clipNorm: options.clipNorm,
  };
  const result = await trainer.step(request, { signal: hooks.finishSteps ? undefined : hooks.signal });
  if (!Number.isFinite(result.loss) || !Number.isFinite(result.gradientNorm)) throw nonFinite(state, result);
  const seconds = (performance.now() - start) / 1000;
  state.seconds.train += seconds;

  const log: StepLog = {
    step: state.step,
    epoch: state.epoch,
    examples: state.examples + pairs.length,
    learningRate,
    loss: result.loss,
    lossRepair: result.lossRepair,
    lossKl: method.kl ? result.lossKl : null,
    gradientNorm: result.gradientNorm,
    blocks: method.slice.kind === 'all' ? null : Array.from(result.blocks),
    tokens: result.tokens,
    scoredTokens: result.scoredTokens,
  };
  state.step++;
  state.stepInEpoch++;
  state.position += pairs.length;
  state.examples += pairs.length;
  state.tokens += result.tokens;
  for (const pair of pairs) state.textTokens += (pair.chosen ?? pair.rejected)?.ids.length ?? 0;
  state.flops += result.flops;
  for (const block of log.blocks ?? []) state.blockCounts[block] = (state.blockCounts[block] ?? 0) + 1;
  if (result.sensitivities.length > 0) {
    if (state.sensitivitySteps++ === 0) state.initialSensitivities = Array.from(result.sensitivities);
    result.sensitivities.forEach((value, block) => {
      state.sensitivitySums[block] = (state.sensitivitySums[block] ?? 0) + value;
    });
  }
  state.log.push(log);
  return { log, cost: { seconds, tokensPerSecond: result.tokens / seconds, memoryBytes: process.memoryUsage.rss() } };
}

async function runValidation(
  trainer: LoopTrainer,
  objective: Objective,
  method: RepairMethod,
  options: ResolvedOptions,
  data: PreparedData,
  state: RunState,
  hooks: LoopHooks,
): Promise<void> {
  if (data.validation.length === 0) return;
  const start = performance.now();
  const { flops, ...losses } = await validate(trainer, objective, method, options, data.validation, data.normalValidation, hooks);
  state.seconds.validation += (performance.now() - start) / 1000;
  state.flops += flops;
  if (!Number.isFinite(losses.loss)) throw nonFinite(state, losses);
  state.validatedExamples = state.examples;
  const best = state.best === null || losses.loss < state.best.loss;
  if (best) {
    trainer.snapshot();
    state.best = { step: state.step, loss: losses.loss };
    state.withoutImprovement = 0;
  } else {
    state.withoutImprovement++;
  }
  const point = { step: state.step, examples: state.examples, ...losses, best };
  state.curve.push(point);
  await hooks.log?.validation(point);
  hooks.onProgress?.({
    phase: 'validation',
    done: state.curve.length,
    total: state.curve.length,
    detail: `loss ${losses.loss.toPrecision(4)}`,
  });
}

function nonFinite(state: RunState, result: Pick<StepResult, 'loss' | 'lossRepair'>): MendsetError {
  const last = state.log
    .slice(-3)
    .map((l) => l.loss.toPrecision(4))
    .join(', ');
  return new MendsetError(
    'non-finite',
    `Expected finite losses but step ${state.step} gave ${result.loss} (repair loss ${result.lossRepair}${last ? `, losses before it ${last}` : ''}): lower the learning rate or the clip norm.`,
  );
}
