import { dapt } from '../repair/dapt.ts';
import { dpo } from '../repair/dpo.ts';
import { irepair } from '../repair/irepair.ts';
import type { RepairMethod } from '../repair/method.ts';
import type { RepairOptions } from '../repair/options.ts';
import type { RepairResult } from '../repair/result.ts';
import type { RepairSummary } from './cell-result.ts';
import type { RepairConfig } from './config.ts';

/** The repair method that a configuration describes. */
export function makeRepair(config: RepairConfig): RepairMethod {
  const kl = config.kl ?? undefined;
  if (config.method === 'dapt') return dapt({ kl });
  if (config.method === 'dpo') return dpo({ kl, beta: config.beta ?? undefined });
  return irepair({ kl, slice: config.slice ?? undefined });
}

/** Its training options. Under the paper preset the order is the preset's own unless another than the default was asked for. */
export function repairOptions(config: RepairConfig): RepairOptions {
  const t = config.training;
  return {
    preset: config.preset,
    learningRate: t.learningRate ?? undefined,
    batchSize: t.batchSize,
    evalBatchSize: t.evalBatchSize,
    epochs: t.epochs,
    warmupSteps: t.warmupSteps,
    clipNorm: t.clipNorm,
    evalEvery: t.evalEvery,
    patience: t.patience,
    optimizer: { kind: t.optimizer },
    order: t.order ?? undefined,
    seed: t.seed,
  };
}

/** What results.jsonl keeps of a repair: its cost is that of steps and validations, because only the first of several runs pays for the reference. */
export function repairSummary(result: RepairResult): RepairSummary {
  const { train, validation, reference } = result.cost.seconds;
  return {
    method: result.method,
    kl: result.kl !== null,
    options: { ...result.parameters, repairWeight: result.repairWeight, kl: result.kl, slice: result.slice },
    steps: result.steps,
    examples: result.examples,
    seconds: train + validation,
    phases: [
      { phase: 'training', seconds: train },
      { phase: 'validation', seconds: validation },
      { phase: 'reference', seconds: reference },
    ],
    flops: result.cost.flopsCounted - result.cost.flopsReference,
    flopsPaper: result.cost.flopsPaper,
    blockCounts: result.blockCounts.length === 0 ? null : result.blockCounts,
    sensitivities: result.sensitivities.length === 0 ? null : result.sensitivities,
    bestValidationLoss: result.bestLoss,
    stop: result.stoppedBecause,
    warnings: result.warnings,
  };
}
