import { type KlOptions, klTerm, type RepairMethod, type SliceRule } from './method.ts';

export interface IRepairOptions {
  readonly kl?: KlOptions | undefined;
  /**
   * The block that is repaired: the most sensitive one of each step (default); the least sensitive one, or the most sensitive one of
   * the whole run (`fixed`), which are the paper's ablations; numbers: those blocks.
   */
  readonly slice?: 'most-sensitive' | 'least-sensitive' | 'fixed' | number | readonly number[] | undefined;
  /** Blocks repaired at once, by rank of sensitivity; default 1 */
  readonly blocks?: number | undefined;
  /** Rejected texts that `fixed` looks at; default 2000 */
  readonly fixedSample?: number | undefined;
}

/**
 * IRepair (arXiv 2502.07072): each step finds the transformer block that reacts most to the rejected texts (norm of the batch
 * gradient of their cross-entropy) and changes that block alone, by cross-entropy on the chosen texts.
 *
 * With a low-rank adapter the choice is the same, by the gradient of the adapted weights (that of A is zero at first and would choose
 * nothing); the step then changes the adapter of the chosen block.
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
    needsChosen: true,
    needsRejected: true,
  };
}

function sliceRule(options: IRepairOptions): SliceRule {
  const slice = options.slice ?? 'most-sensitive';
  const count = options.blocks ?? 1;
  if (slice === 'most-sensitive' || slice === 'least-sensitive') return { kind: slice, count };
  const sample = options.fixedSample ?? 2000;
  if (slice === 'fixed') return { kind: 'fixed', blocks: null, count, sample };
  const blocks = [...new Set(typeof slice === 'number' ? [slice] : slice)].sort((a, b) => a - b);
  return { kind: 'fixed', blocks, count: blocks.length, sample };
}
