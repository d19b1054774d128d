import { pack, type TokenSequence } from '../model/sequences.ts';
import type { StepRequest } from '../model/trainer.ts';
import { packSide } from './batches.ts';
import type { RepairMethod } from './method.ts';
import type { ResolvedOptions } from './options.ts';
import type { PreparedPair } from './repair-data.ts';

/** What decides a method's requests: the same for the run and for its forecast. */
export interface RequestSetting {
  readonly method: RepairMethod;
  readonly options: ResolvedOptions;
  readonly context: number;
}

/** The repair loss on records, without what the original model says about them. */
export function repairRequest(pairs: readonly PreparedPair[], setting: RequestSetting): StepRequest {
  const { loss, repairWeight } = setting.method;
  const { beta, sequenceSum } = setting.options;
  const weightRepair = repairWeight;
  if (loss === 'ce') return { loss, weightRepair, sequenceSum, chosen: side(pairs, 'chosen', setting) };
  const chosen = loss === 'dpo' ? { chosen: side(pairs, 'chosen', setting) } : {};
  return { loss, weightRepair, ...chosen, rejected: side(pairs, 'rejected', setting), beta };
}

/** The KL term on normal texts, without the original model's hidden states; nothing without one. */
export function klRequest(normal: readonly TokenSequence[], { method: { kl } }: RequestSetting): StepRequest {
  return kl ? { weightKl: kl.weight, klDirection: kl.direction, normal: pack(normal) } : {};
}

/** Which parameters the step changes; `fixedBlocks` belongs to the fixed slice. */
export function sliceRequest(pairs: readonly PreparedPair[], fixedBlocks: readonly number[] | null, setting: RequestSetting): StepRequest {
  const { slice } = setting.method;
  if (slice.kind === 'all') return { slice: 'all' };
  if (slice.kind === 'fixed') return { slice: 'blocks', blocks: Int32Array.from(fixedBlocks ?? []) };
  return { slice: slice.kind, sliceCount: slice.count, sensitivity: side(pairs, 'rejected', setting) };
}

/** The cached log-probabilities of DPO and NPO know no shifted positions, so only cross-entropy follows the paper's pads. */
function side(pairs: readonly PreparedPair[], name: 'chosen' | 'rejected', { method, options, context }: RequestSetting) {
  return packSide(pairs, name, options.preset === 'paper' && method.loss === 'ce', context);
}
