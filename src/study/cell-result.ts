/** What one line of results.jsonl says. Files are read by other programs, so fields are only ever added. */

/** One measured number and what exactly was measured. */
export interface Figure {
  /** null where it could not be computed */
  readonly value: number | null;
  /** 95 % bootstrap interval over prompts, [low, high] */
  readonly interval?: readonly [number, number];
  /** How it was computed: protocol, window, stride, weighting */
  readonly convention: string;
  /** Counts behind it: prompts, tokens, windows, failures */
  readonly counts?: Readonly<Record<string, number>>;
}

export interface PhaseTime {
  readonly phase: string;
  readonly seconds: number;
}

export interface SelectionSummary {
  readonly method: string;
  readonly preset: string;
  readonly options: Readonly<Record<string, unknown>>;
  /** Records asked for and chosen */
  readonly budget: number;
  readonly count: number;
  /** SHA-256 of the chosen indices, in order, as comma-separated decimals */
  readonly indicesHash: string;
  /** Wall-clock seconds of the first computation, also where this cell reused it */
  readonly seconds: number;
  /** True where another cell of the study had already computed this selection */
  readonly reused: boolean;
  readonly phases: readonly PhaseTime[];
  /** Of computing the features, by formula */
  readonly featureFlops: number;
  readonly warnings: readonly string[];
}

export interface RepairSummary {
  readonly method: string;
  readonly kl: boolean;
  readonly options: Readonly<Record<string, unknown>>;
  readonly steps: number;
  /** Training examples consumed */
  readonly examples: number;
  /** Steps and validations; the reference passes, which only the first of several runs pays for, are a phase of their own */
  readonly seconds: number;
  readonly phases: readonly PhaseTime[];
  /** Floating-point operations of steps and validations, counted by the engine */
  readonly flops: number | null;
  /** The same by the papers' formula */
  readonly flopsPaper: number | null;
  /** IRepair: how often each block was the slice; null for the other methods */
  readonly blockCounts: readonly number[] | null;
  /** IRepair: mean over steps of each block's sensitivity; null for the other methods, absent in results of older versions */
  readonly sensitivities?: readonly number[] | null;
  readonly bestValidationLoss: number | null;
  readonly stop: string | null;
  readonly warnings: readonly string[];
}

/** Metric values against the unrepaired and the full-data model of the same model, repair and seed. */
export interface CellMetrics {
  readonly version: string;
  readonly weights: readonly number[];
  readonly ops: number | null;
  readonly rps: number | null;
  readonly res: number | null;
  /** Why a value is null */
  readonly reasons: Readonly<Record<string, string>>;
}

export interface Machine {
  readonly mendset: string;
  readonly node: string;
  readonly platform: string;
  readonly cpu: string;
  readonly isa: string;
  readonly backend: string;
  readonly device: string;
  readonly threads: number;
}

export type CellKind = 'unrepaired' | 'full' | 'subset';

/** The coordinates of a cell in the grid. */
export interface CellPlace {
  readonly kind: CellKind;
  readonly model: string;
  /** Label of the selector; `none` for the unrepaired model, `full` for the whole window */
  readonly selector: string;
  /** Label of the repair; `none` for the unrepaired model */
  readonly repair: string;
  readonly kl: boolean;
  /** 0 for the unrepaired model, 1 for the full-data model */
  readonly proportion: number;
  /** SAPS only: share of a cluster's quota taken from its boundary */
  readonly boundaryRatio: number | null;
  /** Data seed; null for the unrepaired model, which depends on none */
  readonly seed: number | null;
}

export interface CellResult extends CellPlace {
  readonly schema: 1;
  readonly study: { readonly name: string; readonly demo: boolean };
  /** Hash of everything that decides the cell's figures */
  readonly key: string;
  readonly status: 'done' | 'failed';
  readonly error?: string;
  readonly modelHash: string;
  readonly poolHash: string | null;
  /** N: records of the shuffled pool that selection and full repair see */
  readonly window: number | null;
  readonly trainingSeed: number | null;
  readonly selection: SelectionSummary | null;
  readonly repairRun: RepairSummary | null;
  /** By name, e.g. `toxicity.repair`, `wikitext2.tokenPpl`, `lambada.targetAcc` */
  readonly figures: Readonly<Record<string, Figure>>;
  readonly scorer: { readonly name: string; readonly version: string; readonly weightsHash: string } | null;
  readonly metrics: CellMetrics | null;
  /** Selection and repair, wall clock; model loading excluded */
  readonly costSeconds: number | null;
  readonly evaluationSeconds: number | null;
  readonly peakMemoryBytes: number;
  readonly machine: Machine;
  readonly finishedAt: string;
}

/** `irepair+kl, saps at 50 %, seed 43`: how a cell is named to a person. */
export function cellTitle(cell: CellPlace): string {
  if (cell.kind === 'unrepaired') return `${cell.model}: unrepaired`;
  const seed = `seed ${cell.seed}`;
  if (cell.kind === 'full') return `${cell.model}: ${cell.repair}, full data, ${seed}`;
  const boundary = cell.boundaryRatio === null || cell.boundaryRatio === 1 ? '' : `, boundary ${cell.boundaryRatio}`;
  return `${cell.model}: ${cell.repair}, ${cell.selector} at ${formatPercent(cell.proportion)}${boundary}, ${seed}`;
}

/** 0.5 -> `50 %` */
export function formatPercent(share: number): string {
  return `${Number((share * 100).toFixed(2))} %`;
}
