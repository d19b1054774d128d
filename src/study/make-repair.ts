import { dapt } from '../repair/dapt.ts';
import { dpo } from '../repair/dpo.ts';
import { irepair } from '../repair/irepair.ts';
import type { RepairMethod } from '../repair/method.ts';
import { npo } from '../repair/npo.ts';
import type { RepairOptions } from '../repair/options.ts';
import type { RepairResult } from '../repair/result.ts';
import { sft } from '../repair/sft.ts';
import type { RepairSummary } from './cell-result.ts';
import type { RepairConfig } from './config.ts';

/** The repair method that a configuration describes. */
export function makeRepair(config: Omit<RepairConfig, 'training'>): RepairMethod {
  const kl = config.kl ?? undefined;
  const beta = config.beta ?? undefined;
  switch (config.method) {
    case 'dapt':
      return dapt({ kl });
    case 'sft':
      return sft({ kl });
    case 'dpo':
      return dpo({ kl, beta });
    case 'npo':
      return npo({ kl, beta });
    case 'irepair':
      return irepair({ kl, slice: config.slice ?? undefined, blocks: config.blocks });
  }
}

/** Its training options. Under the paper preset the order is the preset's own unless another than the default was asked for. */
export function repairOptions(config: RepairConfig): RepairOptions {
  const { learningRate, optimizer, order, steps, epochs, maxSteps, ...rest } = config.training;
  return {
    ...rest,
    preset: config.preset,
    learningRate: learningRate ?? undefined,
    optimizer: { kind: optimizer },
    order: order ?? undefined,
    lora: config.lora,
    ...(steps === undefined ? { epochs, maxSteps } : { steps }),
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
