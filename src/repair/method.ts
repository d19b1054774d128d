/** The KL term of a loss: distance of the repaired model from the original one on normal texts. */
export interface KlOptions {
  /** Gamma, the weight of the KL term; default 1 */
  readonly weight?: number;
  /** w, the weight of the repair loss beside the KL term; default 0.5 */
  readonly repairWeight?: number;
  /** `forward` KL(reference || policy) (default) or `reverse` KL(policy || reference) */
  readonly direction?: 'forward' | 'reverse';
}

export interface KlTerm {
  readonly weight: number;
  readonly direction: 'forward' | 'reverse';
}

export type RepairMethodName = 'dapt' | 'sft' | 'dpo' | 'npo' | 'irepair';

/** Which parameters a step may change. */
export type SliceRule =
  | { readonly kind: 'all' }
  /** The `count` blocks with the largest (or, as an ablation, smallest) gradient norms on the step's rejected texts */
  | { readonly kind: 'most-sensitive' | 'least-sensitive'; readonly count: number }
  /** The same blocks for the whole run; null: the `count` most sensitive ones over `sample` rejected texts, found before the first step */
  | { readonly kind: 'fixed'; readonly blocks: readonly number[] | null; readonly count: number; readonly sample: number };

/**
 * A way to repair, as data: one loop serves all of them, and KL is a term of the loss.
 * L = repairWeight * L_repair + kl.weight * L_KL.
 */
export interface RepairMethod {
  readonly name: RepairMethodName;
  readonly loss: 'ce' | 'dpo' | 'npo';
  /** w of the loss: 1 without KL, 0.5 with it unless told otherwise */
  readonly repairWeight: number;
  readonly kl: KlTerm | null;
  readonly slice: SliceRule;
  /** DPO: scale of the implicit reward; NPO: inverse temperature; unused by the others */
  readonly beta: number;
  /** Published value for this method, for its own weights; ten times it for a low-rank adapter */
  readonly learningRate: number;
  /** Records without a chosen text cannot be used */
  readonly needsChosen: boolean;
  /** Records without a rejected text cannot be used */
  readonly needsRejected: boolean;
}

/** Resolves the optional KL term and its companion weight of the repair loss. */
export function klTerm(options: KlOptions | undefined): { kl: KlTerm | null; repairWeight: number } {
  if (options === undefined) return { kl: null, repairWeight: 1 };
  return {
    kl: { weight: options.weight ?? 1, direction: options.direction ?? 'forward' },
    repairWeight: options.repairWeight ?? 0.5,
  };
}

/** `dapt`, `dapt+kl`, `dpo` ...: the name used in tables and files. */
export function methodLabel(method: RepairMethod): string {
  return method.kl ? `${method.name}+kl` : method.name;
}
