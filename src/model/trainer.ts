import type { RunOptions } from '../core/run-options.ts';
import { addon } from '../native/addon.ts';
import type { NativeOptimizerOptions, NativeStepRequest, NativeStepResult, NativeTrainer } from '../native/binding.ts';
import { callNative } from '../native/native-error.ts';
import { runTask } from '../native/run-task.ts';
import type { LanguageModel } from './language-model.ts';

export type StepRequest = Partial<NativeStepRequest>;
export type { NativeStepResult as StepResult };

const DEFAULTS: NativeStepRequest = {
  loss: 'ce',
  weightRepair: 1,
  weightKl: 0,
  sequenceSum: false,
  beta: 0.1,
  klDirection: 'forward',
  slice: 'all',
  block: 0,
  update: true,
  gradientNorm: false,
  lr: 0,
  clipNorm: 0,
};

/**
 * Optimiser state and work buffers for one model. Dispose it before the model.
 *
 * Throws `invalid-argument` for wrong requests and `non-finite` for losses that are not numbers; the weights are then unchanged.
 * @example
 * using trainer = new Trainer(model);
 * const { loss } = await trainer.step({ loss: 'ce', chosen: pack(sequences), lr: 1e-5 });
 */
export class Trainer {
  readonly model: LanguageModel;
  readonly #native: NativeTrainer;

  /**
   * `reference` supplies the frozen head of the KL term; it must have the model's vocabulary. The model itself: a copy of its head
   * as it is now.
   */
  constructor(model: LanguageModel, options: { reference?: LanguageModel | undefined; optimizer?: NativeOptimizerOptions } = {}) {
    this.model = model;
    this.#native = callNative(() =>
      addon().createTrainer(model.handle, options.reference?.handle ?? null, options.optimizer ?? { kind: 'rmsprop' }),
    );
  }

  /** One optimiser step, or with `update: false` the losses alone (and with `gradientNorm` the gradient's norm). An abort leaves the weights as they were before the step, or `poisoned`. */
  async step(request: StepRequest, options: RunOptions = {}): Promise<NativeStepResult> {
    const task = callNative(() => this.#native.stepTask({ ...DEFAULTS, ...request }));
    if (request.update !== false) this.model.weightsChanged();
    return await runTask(task, 'step', { signal: options.signal, result: () => task.result() });
  }

  /** Bytes of optimiser state and work buffers. */
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
    this.model.weightsChanged();
    callNative(() => this.#native.restore());
  }

  /** Writes the optimiser state as safetensors (beside, synced, renamed). */
  saveState(path: string): void {
    callNative(() => this.#native.saveState(path));
  }

  loadState(path: string): void {
    callNative(() => this.#native.loadState(path));
  }

  dispose(): void {
    this.#native.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
