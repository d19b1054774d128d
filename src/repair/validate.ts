import type { RunOptions } from '../core/run-options.ts';
import type { TokenSequence } from '../model/sequences.ts';
import type { StepRequest, StepResult } from '../model/trainer.ts';
import { chunks } from './batches.ts';
import type { RepairMethod } from './method.ts';
import type { Objective } from './objective.ts';
import type { ResolvedOptions } from './options.ts';
import type { PreparedPair } from './repair-data.ts';

/** What validation needs of a trainer: losses without an update. */
export interface LossEvaluator {
  step(request: StepRequest, options?: RunOptions): Promise<StepResult>;
}

export interface ValidationLoss {
  readonly loss: number;
  readonly lossRepair: number;
  readonly lossKl: number | null;
  readonly flops: number;
}

/**
 * The method's own loss on the validation records, without slicing. A loss that is a mean over sequences (DPO, NPO, per-sequence sums)
 * is averaged over sequences, one that is a batch scalar (token means, KL) over batches.
 */
export async function validate(
  trainer: LossEvaluator,
  objective: Objective,
  method: RepairMethod,
  options: ResolvedOptions,
  pairs: readonly PreparedPair[],
  normal: readonly TokenSequence[],
  run: RunOptions,
): Promise<ValidationLoss> {
  const perSequence = method.loss !== 'ce' || options.sequenceSum;
  let flops = 0;
  let sum = 0;
  let weight = 0;
  for (const batch of chunks(pairs, options.evalBatchSize)) {
    const result = await trainer.step({ ...objective.repairTerm(batch), update: false }, { signal: run.signal });
    const share = perSequence ? batch.length : 1;
    sum += share * result.lossRepair;
    weight += share;
    flops += result.flops;
  }
  const lossRepair = sum / weight;
  if (!method.kl) return { loss: method.repairWeight * lossRepair, lossRepair, lossKl: null, flops };
  let klSum = 0;
  const batches = chunks(normal, options.evalBatchSize);
  for (const batch of batches) {
    const result = await trainer.step(
      { loss: 'none', weightRepair: 0, ...(await objective.klTerm(batch)), update: false },
      { signal: run.signal },
    );
    klSum += result.lossKl;
    flops += result.flops;
  }
  const lossKl = klSum / batches.length;
  return { loss: method.repairWeight * lossRepair + method.kl.weight * lossKl, lossRepair, lossKl, flops };
}
