import type { RunOptions } from '../core/run-options.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { TokenSequence } from '../model/sequences.ts';
import type { StepRequest } from '../model/trainer.ts';
import { forwardFlopsPerToken } from './flops.ts';
import type { RepairMethod } from './method.ts';
import type { ResolvedOptions } from './options.ts';
import type { ReferenceCache } from './reference-cache.ts';
import type { PreparedPair } from './repair-data.ts';
import { klRequest, type RequestSetting, repairRequest, sliceRequest } from './step-request.ts';

/** Builds the loss of a batch: L = w L_repair + gamma L_KL, with what the original model has to say about it. */
export class Objective {
  readonly #setting: RequestSetting;
  readonly #references: ReferenceCache;
  readonly #width: number;
  /** Summed log-probabilities under the original; `chosen` is 0 where the loss does not read it */
  readonly #logProbs = new Map<PreparedPair, { chosen: number; rejected: number }>();
  /** Seconds and FLOPs spent on the original model so far */
  seconds = 0;
  flops = 0;

  constructor(
    method: RepairMethod,
    options: ResolvedOptions,
    references: ReferenceCache,
    shape: { readonly context: number; readonly width: number },
  ) {
    this.#setting = { method, options, context: shape.context };
    this.#references = references;
    this.#width = shape.width;
  }

  /**
   * What `original`, which must not have been changed yet, says about the texts that will be read: log-probabilities of all pairs
   * (DPO, NPO) and hidden states of the normal texts (KL).
   */
  async prepare(original: LanguageModel, pairs: readonly PreparedPair[], normal: readonly TokenSequence[], run: RunOptions): Promise<void> {
    const { loss, kl } = this.#setting.method;
    if (kl) await this.#timed(original, () => this.#references.prepareHidden(original, normal, run));
    if (loss === 'ce') return;
    const sides = loss === 'dpo' ? 2 : 1;
    const sequences = pairs.flatMap((p) => (loss === 'dpo' ? [p.rejected, p.chosen] : [p.rejected])) as TokenSequence[];
    const sums = await this.#timed(original, () => this.#references.logProbs(original, sequences, run));
    pairs.forEach((pair, i) => {
      this.#logProbs.set(pair, { rejected: sums[sides * i] as number, chosen: sides === 2 ? (sums[sides * i + 1] as number) : 0 });
    });
  }

  /** The repair loss on records. */
  repairTerm(pairs: readonly PreparedPair[]): StepRequest {
    const request = repairRequest(pairs, this.#setting);
    if (request.loss === 'ce') return request;
    const reference = pairs.map((p) => this.#logProbs.get(p) as { chosen: number; rejected: number });
    return {
      ...request,
      ...(request.loss === 'dpo' ? { referenceChosen: Float64Array.from(reference, (r) => r.chosen) } : {}),
      referenceRejected: Float64Array.from(reference, (r) => r.rejected),
    };
  }

  /** The KL term on normal texts; nothing without one. */
  async klTerm(normal: readonly TokenSequence[]): Promise<StepRequest> {
    if (!this.#setting.method.kl) return {};
    return { ...klRequest(normal, this.#setting), referenceHidden: await this.#references.hidden(normal, this.#width) };
  }

  /** Which parameters the step changes. */
  slice(pairs: readonly PreparedPair[], fixedBlocks: readonly number[] | null): StepRequest {
    return sliceRequest(pairs, fixedBlocks, this.#setting);
  }

  async #timed<R>(model: LanguageModel, work: () => Promise<R>): Promise<R> {
    const start = performance.now();
    const before = this.#references.computedTokens;
    const result = await work();
    this.seconds += (performance.now() - start) / 1000;
    this.flops += (this.#references.computedTokens - before) * forwardFlopsPerToken(model.summary);
    return result;
  }
}
