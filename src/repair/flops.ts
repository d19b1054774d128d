import type { NativeModelSummary } from '../native/binding.ts';
import type { RepairMethod } from './method.ts';

type Shape = Pick<NativeModelSummary, 'layers' | 'width' | 'vocab' | 'context'>;

/** Forward FLOPs of one token as the papers count them: F = 4d + 24 L d^2 + 2 L n_ctx d + 2 d V. */
export function forwardFlopsPerToken({ layers, width, vocab, context }: Shape): number {
  return 4 * width + 24 * layers * width ** 2 + 2 * layers * context * width + 2 * width * vocab;
}

/**
 * FLOPs of one training token by the papers' table: DAPT 3F, DPO 6F, IRepair 2F + 2B + 2B1, and 2F more with KL (ours, by the same
 * count: SFT 3F, NPO 4F, a forward of the reference more than SFT), where
 * B = F - 4d and B1 is B of a one-layer model. They leave out activation gradients through the blocks above IRepair's slice.
 */
export function paperFlopsPerToken(method: RepairMethod, shape: Shape): number {
  const forward = forwardFlopsPerToken(shape);
  const kl = method.kl ? 2 * forward : 0;
  if (method.name === 'dapt' || method.name === 'sft') return 3 * forward + kl;
  if (method.name === 'npo') return 4 * forward + kl;
  if (method.name === 'dpo') return 6 * forward + kl;
  const backward = forward - 4 * shape.width;
  const one = forwardFlopsPerToken({ ...shape, layers: 1 }) - 4 * shape.width;
  return 2 * forward + 2 * backward + 2 * one + kl;
}
