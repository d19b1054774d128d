import type { NativeModelSummary } from '../native/binding.ts';
import type { KlTerm, RepairMethodName, SliceRule } from './method.ts';
import type { ResolvedOptions } from './options.ts';
import type { LeftOut } from './repair-data.ts';

/** One optimiser step. */
export interface StepLog {
  /** From 0 */
  readonly step: number;
  readonly epoch: number;
  /** Records consumed after this step */
  readonly examples: number;
  readonly learningRate: number;
  readonly loss: number;
  readonly lossRepair: number;
  /** null without a KL term */
  readonly lossKl: number | null;
  /** Before clipping, over the parameters that changed */
  readonly gradientNorm: number;
  /** The blocks that changed, ascending; null = all parameters */
  readonly blocks: readonly number[] | null;
  readonly tokens: number;
  readonly scoredTokens: number;
}

/** Losses on the validation records; smaller is better. */
export interface ValidationPoint {
  /** Steps done before it */
  readonly step: number;
  readonly examples: number;
  readonly loss: number;
  readonly lossRepair: number;
  readonly lossKl: number | null;
  readonly best: boolean;
}

export interface RepairCost {
  /** Wall-clock seconds of this and, after a resume, of the earlier parts; loading and saving are not in it */
  readonly seconds: { readonly total: number; readonly train: number; readonly validation: number; readonly reference: number };
  readonly examples: number;
  readonly tokens: number;
  /** Of training and validation steps as the engine counts them, and of the reference passes (papers' forward formula) */
  readonly flopsCounted: number;
  /** Of these, of the reference passes; 0 where another run had already made them */
  readonly flopsReference: number;
  /** The papers' formula for a token times the tokens of the chosen texts */
  readonly flopsPaper: number;
}

export interface RepairResult {
  readonly method: RepairMethodName;
  /** `dapt`, `dapt+kl` ... */
  readonly label: string;
  readonly kl: KlTerm | null;
  readonly repairWeight: number;
  readonly slice: SliceRule;
  readonly preset: ResolvedOptions['preset'];
  readonly steps: number;
  readonly examples: number;
  /** Passes over the records that were completed */
  readonly epochs: number;
  readonly stoppedBecause: 'epochs' | 'max-steps' | 'patience';
  /** Steps the returned weights have seen */
  readonly keptStep: number;
  /** Steps done at the best validation; null when there was none */
  readonly bestStep: number | null;
  readonly bestLoss: number | null;
  /** Early stopping could have fired: the run was long enough for `patience` validations */
  readonly earlyStoppingPossible: boolean;
  readonly validation: readonly ValidationPoint[];
  readonly log: readonly StepLog[];
  /** [layers] how many steps changed each block; empty when all parameters change */
  readonly blockCounts: readonly number[];
  /** [layers] mean over steps of each block's sensitivity; empty without slicing */
  readonly sensitivities: readonly number[];
  /** [layers] sensitivities over the sample that chose a fixed slice, before the first step; else the first step's; empty without slicing */
  readonly initialSensitivities: readonly number[];
  readonly usedRecords: number;
  readonly leftOut: LeftOut;
  readonly cost: RepairCost;
  readonly seeds: { readonly training: number };
  readonly parameters: ResolvedOptions;
  readonly model: Pick<
    NativeModelSummary,
    'family' | 'layers' | 'width' | 'parameters' | 'heldDtype' | 'backend' | 'device' | 'threads'
  > & {
    readonly hash: string | null;
  };
  /** SHA-256 over record hashes in order, normal texts, method, parameters and model: equal runs have equal fingerprints */
  readonly fingerprint: string;
  readonly resumedAt: number | null;
  readonly warnings: readonly string[];
}

/** IRepair's blocks as a table: sensitivity at first, mean over the steps, and how many steps changed each. Empty without slicing. */
export function sensitivityTable(
  result: Pick<RepairResult, 'initialSensitivities' | 'sensitivities' | 'blockCounts'>,
): readonly { readonly block: number; readonly initial: number | null; readonly mean: number | null; readonly steps: number }[] {
  return result.blockCounts.map((steps, block) => ({
    block,
    initial: result.initialSensitivities[block] ?? null,
    mean: result.sensitivities[block] ?? null,
    steps,
  }));
}

/** The document the command line writes as repair.json beside the checkpoint. */
export function repairJson(result: RepairResult, extra: Readonly<Record<string, unknown>> = {}): string {
  return `${JSON.stringify({ kind: 'mendset-repair', version: 1, ...extra, ...result }, null, 2)}\n`;
}
