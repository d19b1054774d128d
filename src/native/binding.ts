/**
 * The typed description of every function of the native addon. Only this folder touches the addon.
 * A crossing moves a matrix or a decision, never an element. Input arrays are borrowed until the task is disposed.
 */

/** A long computation, driven in bounded steps. */
export interface NativeTask {
  /** Computes for about `budgetMs` on a libuv thread and reports progress. One step at a time per environment, in order. */
  step(budgetMs: number): Promise<{ done: number; total: number; finished: boolean }>;
  /** Releases native memory and the borrowed arrays. Idempotent. */
  dispose(): void;
}

/** Token sequences packed without padding. */
export interface PackedBatch {
  /** [tokens] */
  readonly ids: Int32Array;
  /** [samples + 1], from 0, strictly ascending */
  readonly offsets: Int32Array;
  /** [tokens] 1 = scored target; absent = every token but each sample's first */
  readonly mask?: Uint8Array | undefined;
  /** [tokens]; absent = 0, 1, 2 .. in each sample */
  readonly positions?: Int32Array | undefined;
}

export interface NativeModelSummary {
  readonly family: string;
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly vocab: number;
  readonly context: number;
  readonly parameters: number;
  readonly bytes: number;
  /** -1 when the config names none */
  readonly eos: number;
  readonly tiedHead: boolean;
  readonly storedDtype: string;
  /** `F32`, or what the weights that nothing has trained yet are held in (`F16`, `BF16`); arithmetic is always fp32 */
  readonly heldDtype: string;
  /** of a sequence classifier, else 0 */
  readonly labels: number;
  readonly backend: string;
  readonly device: string;
  readonly threads: number;
}

export interface NativeTensorInfo {
  readonly name: string;
  readonly shape: readonly number[];
  readonly count: number;
  /** -1 for embeddings, final norm and head */
  readonly block: number;
}

/** Opaque handle of weights on a backend. */
export interface NativeModel {
  summary(): NativeModelSummary;
  tensors(): NativeTensorInfo[];
  readTensor(name: string, out: Float32Array): void;
  writeTensor(name: string, values: Float32Array): void;
  copy(): NativeModel;
  /** The weights of a model of the same tensors, each block held as it is there */
  takeWeights(from: NativeModel): void;
  dispose(): void;
}

/** Aligned with the ids; tokens that are no scored targets hold 0 (argmax: -1) */
export interface NativeTokenOutputs {
  logProb?: Float64Array;
  el2n?: Float64Array;
  margin?: Float64Array;
  argmax?: Int32Array;
}

export interface NativeScoreOutputs extends NativeTokenOutputs {
  hidden?: Float32Array;
  embedding?: Float32Array;
  normalizeEmbedding?: boolean;
  logits?: Float32Array;
}

export interface NativeOptimizerOptions {
  kind: 'rmsprop' | 'adamw';
  alpha?: number;
  beta1?: number;
  beta2?: number;
  epsilon?: number;
  weightDecay?: number;
}

export interface NativeStepRequest {
  loss: 'none' | 'ce' | 'dpo' | 'npo';
  weightRepair: number;
  weightKl: number;
  sequenceSum: boolean;
  chosen?: PackedBatch | undefined;
  rejected?: PackedBatch | undefined;
  /** [samples] summed reference log-probabilities */
  referenceChosen?: Float64Array | undefined;
  referenceRejected?: Float64Array | undefined;
  beta: number;
  normal?: PackedBatch | undefined;
  /** [normal tokens, width] */
  referenceHidden?: Float32Array | undefined;
  klDirection: 'forward' | 'reverse';
  slice: 'all' | 'blocks' | 'most-sensitive' | 'least-sensitive';
  /** Ascending; with slice `blocks` */
  blocks?: Int32Array | undefined;
  /** most- and least-sensitive: how many blocks */
  sliceCount: number;
  sensitivity?: PackedBatch | undefined;
  /** Copies the gradients before the update, for `readGradient` */
  keepGradients: boolean;
  /** false: the weights stay; losses only, by a forward pass */
  update: boolean;
  /** Without update: the gradient and its norm too */
  gradientNorm: boolean;
  lr: number;
  /** 0 = off */
  clipNorm: number;
  /** most tokens of one pass over a part of the batch; absent or 0 = the whole batch in one pass */
  microBatchTokens?: number | undefined;
  /** bytes that the engine may hold for this model; absent or 0 = no limit */
  memoryBudget?: number | undefined;
  /** compute activations again in the backward pass instead of keeping them */
  checkpoint?: boolean | undefined;
}

export interface NativeStepResult {
  loss: number;
  lossRepair: number;
  lossKl: number;
  gradientNorm: number;
  scoredTokens: number;
  tokens: number;
  /** Those that the step trains, ascending; empty = all */
  blocks: Int32Array;
  sensitivities: Float64Array;
  pairMargins: Float64Array;
  flops: number;
  /** passes that the losses took */
  microBatches: number;
  checkpointed: boolean;
}

/** Bytes at the peak of some work, and its FLOPs. */
export interface NativeMemoryForecast {
  readonly weights: number;
  readonly weightsMost: number;
  readonly reference: number;
  readonly optimizer: number;
  readonly optimizerMost: number;
  readonly snapshot: number;
  readonly snapshotMost: number;
  readonly work: number;
  readonly gradients: number;
  readonly cache: number;
  readonly scratch: number;
  readonly peak: number;
  readonly microBatches: number;
  readonly flops: number;
  readonly checkpointed: boolean;
}

export type NativeForecastWork =
  | {
      readonly kind: 'step';
      readonly request: NativeStepRequest;
      readonly optimizer: NativeOptimizerOptions;
      readonly adapter: NativeAdapterOptions | null;
      /** the trainer is made with the model as its own reference, hence holds a copy of its head */
      readonly reference: boolean;
      /** a copy of the weights is held too */
      readonly snapshot: boolean;
    }
  | { readonly kind: 'score'; readonly batch: PackedBatch; readonly statistics: boolean; readonly hidden: boolean }
  | { readonly kind: 'gradient-norms'; readonly batch: PackedBatch; readonly block: number }
  | { readonly kind: 'generate'; readonly batch: PackedBatch; readonly maxNewTokens: number };

export interface NativeTrainer {
  stepTask(request: NativeStepRequest): NativeTask & { result(): NativeStepResult };
  forecast(request: NativeStepRequest): NativeMemoryForecast;
  poisoned(): boolean;
  bytes(): number;
  saveState(path: string): void;
  loadState(path: string): void;
  snapshot(): void;
  restore(): void;
  tensors(): NativeTensorInfo[];
  readGradient(name: string, out: Float32Array): void;
  saveAdapter(path: string): void;
  loadAdapter(path: string): void;
  mergeAdapter(): void;
  dispose(): void;
}

export interface NativeAdapterOptions {
  rank: number;
  alpha: number;
  seed: bigint;
  /** Names of linear maps; empty = all of the blocks' */
  targets: string[];
}

export interface NativeGenerateOptions {
  maxNewTokens: number;
  greedy: boolean;
  temperature: number;
  topP: number;
  topK: number;
  eos: number;
  seed: bigint;
  subs: Uint32Array;
}

export interface NativeBackendReport {
  name: string;
  usable: boolean;
  detail: string;
}

/** What operations of schedules did: multiply-adds count 2, each operand is read or written once. */
export interface NativeOperationTotal {
  readonly calls: number;
  readonly seconds: number;
  readonly flops: number;
  readonly bytes: number;
}

export interface NativeOperationProfile {
  readonly operations: readonly (NativeOperationTotal & { readonly name: string })[];
  /** [2 spans] begin since the start of the profile, and seconds */
  readonly spanTimes: Float64Array;
  /** [2 spans] index into operations, and block (-1 = none) */
  readonly spanPlaces: Int32Array;
  readonly spansLeftOut: number;
  /** What timing all calls took, from the cost of one */
  readonly recordingSeconds: number;
}

export interface NativeInfo {
  compiler: string;
  /** instruction set that the CPU backend uses here */
  isa: string;
  isasAvailable: string[];
  /** of a model that does not say otherwise */
  threads: number;
  backends: NativeBackendReport[];
}

export interface NativeBinding {
  info(): NativeInfo;
  openPlugin(path: string): void;

  /** What the backend reaches in a large product and in reading memory; about a second. */
  probeTask(backend: string, threads: number): NativeTask & { result(): { flopsPerSecond: number; bytesPerSecond: number } };
  /** Times every operation of models on this backend until `endProfile`; the first `mostSpans` are kept one by one. */
  startProfile(backend: string, threads: number, mostSpans: number): void;
  profileTotals(): NativeOperationTotal & { readonly allocations: number; readonly allocatedBytes: number };
  endProfile(): NativeOperationProfile;

  /** asStored: 16-bit weights stay so */
  loadModelTask(directory: string, backend: string, threads: number, asStored: boolean): NativeTask & { result(): NativeModel };
  createModel(configJson: string, seed: bigint, backend: string, threads: number): NativeModel;
  saveModelTask(model: NativeModel, directory: string, dtype: 'F32' | 'F16' | 'BF16' | 'held' | 'source', shardBytes: number): NativeTask;
  scoreTask(model: NativeModel, batch: PackedBatch, outputs: NativeScoreOutputs): NativeTask;
  /** squares: [samples, tensors]; scores: as scoreTask gives them, from the same pass */
  gradientNormTask(
    model: NativeModel,
    batch: PackedBatch,
    tokenMean: boolean,
    block: number,
    squares: Float64Array,
    scores?: NativeTokenOutputs,
  ): NativeTask;
  /** loss: [1]; gradients: one array per tensor, in the order of `tensors()` */
  gradientTask(model: NativeModel, batch: PackedBatch, loss: Float64Array, gradients: Float32Array[]): NativeTask;
  /** What work on a model would hold, from its config or from the headers of a folder; reads no weights and follows no token's value. */
  forecastMemory(
    configOrFolder: string,
    backend: string,
    threads: number,
    work: NativeForecastWork,
    isFolder: boolean,
    asStored: boolean,
  ): NativeMemoryForecast;
  createTrainer(
    model: NativeModel,
    reference: NativeModel | null,
    options: NativeOptimizerOptions,
    adapter: NativeAdapterOptions | null,
  ): NativeTrainer;
  generateTask(
    model: NativeModel,
    prompts: PackedBatch,
    options: NativeGenerateOptions,
    ids: Int32Array,
    lengths: Int32Array,
    stopped: Uint8Array,
  ): NativeTask;
}
