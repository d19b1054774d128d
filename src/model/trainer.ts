import type { RunOptions } from '../core/run-options.ts';
import { addon } from '../native/addon.ts';
import type {
  NativeMemoryForecast,
  NativeOptimizerOptions,
  NativeStepRequest,
  NativeStepResult,
  NativeTensorInfo,
  NativeTrainer,
} from '../native/binding.ts';
import { callNative } from '../native/native-error.ts';
import { runTask } from '../native/run-task.ts';
import { type AdapterShape, saveAdapterFolder } from './adapter-folder.ts';
import type { LanguageModel } from './language-model.ts';

export type StepRequest = Partial<NativeStepRequest>;
export type { NativeStepResult as StepResult };

/** What a step request leaves out. */
export const STEP_DEFAULTS: NativeStepRequest = {
  loss: 'ce',
  weightRepair: 1,
  weightKl: 0,
  sequenceSum: false,
  beta: 0.1,
  klDirection: 'forward',
  slice: 'all',
  sliceCount: 1,
  keepGradients: false,
  update: true,
  gradientNorm: false,
  lr: 0,
  clipNorm: 0,
};

/** How much memory a step may take; each can also be said in a step's request. */
export interface StepMemoryOptions {
  /** Most tokens of one pass over a part of the batch; 0 (default) = the whole batch in one pass */
  readonly microBatchTokens?: number | undefined;
  /** Most bytes that the engine holds for this model while it trains; 0 (default) = no limit */
  readonly memoryBudget?: number | undefined;
  /** Compute activations again in the backward pass instead of keeping them; default false */
  readonly checkpoint?: boolean | undefined;
}

/**
 * Optimiser state and work buffers for one model. Dispose it before the model.
 *
 * With a `memoryBudget` (bytes for weights, reference, optimiser state, snapshot and work together) each step is cut into the largest
 * micro-batches that fit, and recomputes activations where one sample would not fit otherwise; a step that cannot fit is refused before
 * it starts. `microBatchTokens` and `checkpoint` ask for the same by hand. Losses keep their bits; gradients are summed in the batch's
 * order and differ from an uncut step's by rounding; checkpointing changes no bit.
 *
 * Throws `invalid-argument` for wrong requests and `non-finite` for losses that are not numbers; the weights are then unchanged.
 * @example
 * using trainer = new Trainer(model);
 * const { loss } = await trainer.step({ loss: 'ce', chosen: pack(sequences), lr: 1e-5 });
 */
export class Trainer {
  readonly model: LanguageModel;
  readonly #native: NativeTrainer;
  readonly #memory: StepMemoryOptions;

  /** What is trained in place of the weights; null = the weights */
  readonly adapter: AdapterShape | null;

  /**
   * `reference` supplies the frozen head of the KL term; it must have the model's vocabulary. The model itself: a copy of its head
   * as it is now. With `adapter` a low-rank adapter is trained and the model stays as it is until `mergeAdapter`.
   */
  constructor(
    model: LanguageModel,
    options: {
      reference?: LanguageModel | undefined;
      optimizer?: NativeOptimizerOptions | undefined;
      adapter?: AdapterShape | undefined;
      /** Of the adapter's first values; default 0 */
      seed?: number | undefined;
    } & StepMemoryOptions = {},
  ) {
    this.model = model;
    const { microBatchTokens, memoryBudget, checkpoint } = options;
    this.#memory = { microBatchTokens, memoryBudget, checkpoint };
    this.adapter = options.adapter ?? null;
    const { adapter } = this;
    this.#native = callNative(() =>
      addon().createTrainer(
        model.handle,
        options.reference?.handle ?? null,
        options.optimizer ?? { kind: 'rmsprop' },
        adapter && { rank: adapter.rank, alpha: adapter.alpha, targets: [...adapter.targets], seed: BigInt(options.seed ?? 0) },
      ),
    );
  }

  /** One optimiser step, or with `update: false` the losses alone (and with `gradientNorm` the gradient's norm). An abort leaves the weights as they were before the step, or `poisoned`. */
  async step(request: StepRequest, options: RunOptions = {}): Promise<NativeStepResult> {
    const task = callNative(() => this.#native.stepTask(this.#complete(request)));
    if (request.update !== false && !this.adapter) this.model.weightsChanged();
    return await runTask(task, 'step', { signal: options.signal, result: () => task.result() });
  }

  /** What `step(request)` would hold at its peak, in bytes, and its FLOPs; computes nothing. */
  forecast(request: StepRequest): NativeMemoryForecast {
    return callNative(() => this.#native.forecast(this.#complete(request)));
  }

  #complete(request: StepRequest): NativeStepRequest {
    return { ...STEP_DEFAULTS, ...this.#memory, ...request };
  }

  /** Bytes of optimiser state and of the snapshot. */
  get bytes(): number {
    return this.#native.bytes();
  }

  /** An abort stopped an optimiser step half-way: the weights are those of no step until `restore`. */
  get poisoned(): boolean {
    return this.#native.poisoned();
  }

  /** Keeps a copy of the weights in memory; `restore` brings it back. */
  snapshot(): void {
    callNative(() => this.#native.snapshot());
  }

  restore(): void {
    if (!this.adapter) this.model.weightsChanged();
    callNative(() => this.#native.restore());
  }

  /** Writes the optimiser state as safetensors (beside, synced, renamed). */
  saveState(path: string): void {
    callNative(() => this.#native.saveState(path));
  }

  loadState(path: string): void {
    callNative(() => this.#native.loadState(path));
  }

  /** The tensors that are trained: the model's, or the adapter's under PEFT's names. */
  get tensors(): readonly NativeTensorInfo[] {
    return callNative(() => this.#native.tensors());
  }

  /** A trained tensor's gradient of the last step with `keepGradients`, before clipping. Throws `invalid-argument` for tensors that the step left alone. */
  gradient(name: string): Float32Array {
    const tensor = this.tensors.find((t) => t.name === name);
    const out = new Float32Array(tensor?.count ?? 0);
    callNative(() => this.#native.readGradient(name, out));
    return out;
  }

  /** Writes the adapter as a folder that PEFT loads: adapter_config.json and adapter_model.safetensors. */
  async saveAdapter(directory: string): Promise<void> {
    await saveAdapterFolder(this.model, this.adapter, directory, (path) => callNative(() => this.#native.saveAdapter(path)));
  }

  /** Reads adapter_model.safetensors of an adapter of the same rank and targets. */
  loadAdapter(path: string): void {
    callNative(() => this.#native.loadAdapter(path));
  }

  /** Adds the adapter to the model's weights, W + alpha / rank B A, and ends the trainer's use for steps. */
  mergeAdapter(): void {
    this.model.weightsChanged();
    callNative(() => this.#native.mergeAdapter());
  }

  dispose(): void {
    this.#native.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
