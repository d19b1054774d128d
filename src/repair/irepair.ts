import { type KlOptions, klTerm, type RepairMethod, type SliceRule } from './method.ts';

export interface IRepairOptions {
  readonly kl?: KlOptions | undefined;
  /**
   * The block that is repaired: the most sensitive one of each step (default); the least sensitive one, or the most sensitive one of
   * the whole run (`fixed`), which are the paper's ablations; a number: that block.
   */
  readonly slice?: 'most-sensitive' | 'least-sensitive' | 'fixed' | number | undefined;
  /** Rejected texts that `fixed` looks at; default 2000 */
  readonly fixedSample?: number | undefined;
}

/**
 * IRepair (arXiv 2502.07072): each step finds the transformer block that reacts most to the rejected texts (norm of the batch
 * gradient of their cross-entropy) and changes that block alone, by cross-entropy on the chosen texts.
 *
 * @example
 * const result = await repair(model, { ...data, normal }, irepair({ kl: { weight: 1 } }));
 */
export function irepair(options: IRepairOptions = {}): RepairMethod {
  return {
    name: 'irepair',
    loss: 'ce',
    ...klTerm(options.kl),
    slice: sliceRule(options),
    beta: 0,
    learningRate: options.kl ? 5e-5 : 2e-5,
    needsRejected: true,
  };
}

function sliceRule(options: IRepairOptions): SliceRule {
  const slice = options.slice ?? 'most-sensitive';
  if (slice === 'most-sensitive' || slice === 'least-sensitive') return { kind: slice };
  return { kind: 'fixed', block: slice === 'fixed' ? null : slice, sample: options.fixedSample ?? 2000 };
}
