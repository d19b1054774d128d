import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MendsetError } from '../core/errors.ts';
import { addon } from '../native/addon.ts';
import type { NativeForecastWork, NativeMemoryForecast, NativeOptimizerOptions, PackedBatch } from '../native/binding.ts';
import { resolveBackend } from '../native/engine-info.ts';
import { callNative } from '../native/native-error.ts';
import type { AdapterShape } from './adapter-folder.ts';
import type { BackendName, WeightStorage } from './load-weights.ts';
import { STEP_DEFAULTS, type StepRequest } from './trainer.ts';

/**
 * What some work holds at its peak, in bytes: `peak` is the sum of `weights`, `reference`, `optimizer`, `snapshot`, `work` (activations,
 * gradients and logits; `gradients` is the part that lasts until the update), `cache` (keys and values of generation) and `scratch`
 * (packed operands; the only part that depends on threads and instruction set). `optimizerMost` is what `optimizer` grows to once
 * steps that choose their block have chosen every block; `weightsMost` and `snapshotMost` are the same of a model that is held as stored. Buffers of the caller and Node itself are not counted.
 */
export type MemoryForecast = NativeMemoryForecast;

/** Work on one batch; its tokens' values do not matter, so that lengths are enough: see `batchOfLengths`. */
export type ForecastWork =
  | {
      readonly kind: 'step';
      /** as for `Trainer.step`; references that are missing (log-probabilities, hidden states) are not needed here */
      readonly request: StepRequest;
      readonly optimizer?: NativeOptimizerOptions | undefined;
      /** a low-rank adapter is trained in place of the weights; default null */
      readonly adapter?: AdapterShape | null | undefined;
      /** the trainer keeps a copy of the original head (`reference: model`); default: when the request has a KL term */
      readonly reference?: boolean | undefined;
      /** the best weights so far are kept too (`Trainer.snapshot`); default false */
      readonly snapshot?: boolean | undefined;
    }
  | { readonly kind: 'score'; readonly batch: PackedBatch; readonly hidden?: boolean | undefined }
  | { readonly kind: 'gradient-norms'; readonly batch: PackedBatch; readonly block?: number | undefined }
  | { readonly kind: 'generate'; readonly batch: PackedBatch; readonly maxNewTokens: number };

/** A batch of samples with these numbers of tokens, every one scored: what `forecastMemory` needs to know of a batch. */
export function batchOfLengths(lengths: readonly number[]): PackedBatch {
  const offsets = new Int32Array(lengths.length + 1);
  lengths.forEach((length, i) => {
    offsets[i + 1] = (offsets[i] as number) + length;
  });
  return { ids: new Int32Array(offsets[lengths.length] as number), offsets };
}

/**
 * Memory and FLOPs of work on a model, from its config alone: the passes are planned as they would run, and nothing is computed or loaded.
 * `model` is a checkpoint's folder or the content of its config.json.
 *
 * Rejects with `invalid-argument` for wrong requests and for memory budgets that even single samples exceed, `not-found` and
 * `unsupported` for configs that cannot be read.
 * @example
 * const { peak } = await forecastMemory('gpt2', {
 *   kind: 'step',
 *   request: { loss: 'ce', chosen: batchOfLengths([128, 128, 128, 128]) },
 * });
 */
export async function forecastMemory(
  model: string | Readonly<Record<string, unknown>>,
  work: ForecastWork,
  options: {
    readonly backend?: BackendName | undefined;
    readonly threads?: number | undefined;
    /** As for `LanguageModel.load`. `stored` goes by the files of a folder, or by the `dtype` of a config. */
    readonly weights?: WeightStorage | undefined;
  } = {},
): Promise<MemoryForecast> {
  const config = typeof model === 'string' ? await readConfig(model) : JSON.stringify(model);
  const backend = resolveBackend(options.backend ?? 'auto');
  const asStored = options.weights === 'stored';
  // only where 16 bits are kept do the weight files matter
  const isFolder = asStored && typeof model === 'string';
  return callNative(() =>
    addon().forecastMemory(isFolder ? model : config, backend, options.threads ?? 0, nativeWork(config, work), isFolder, asStored),
  );
}

function nativeWork(config: string, work: ForecastWork): NativeForecastWork {
  switch (work.kind) {
    case 'score':
      return { kind: 'score', batch: work.batch, statistics: true, hidden: work.hidden ?? false };
    case 'gradient-norms':
      return { kind: 'gradient-norms', batch: work.batch, block: work.block ?? -1 };
    case 'generate':
      return work;
    case 'step': {
      const request = { ...STEP_DEFAULTS, ...work.request };
      const pairs = ((request.chosen ?? request.rejected)?.offsets.length ?? 1) - 1;
      return {
        kind: 'step',
        request: {
          ...request,
          referenceChosen: request.referenceChosen ?? new Float64Array(pairs),
          referenceRejected: request.referenceRejected ?? new Float64Array(pairs),
          referenceHidden: request.referenceHidden ?? new Float32Array((request.normal?.ids.length ?? 0) * widthOf(config)),
        },
        optimizer: work.optimizer ?? { kind: 'rmsprop' },
        adapter: work.adapter ? { ...work.adapter, targets: [...work.adapter.targets], seed: 0n } : null,
        reference: work.reference ?? request.weightKl > 0,
        snapshot: work.snapshot ?? false,
      };
    }
  }
}

/** The engine reads the config itself; only stand-ins for reference states need the width here. */
function widthOf(config: string): number {
  const { n_embd, hidden_size } = JSON.parse(config) as { n_embd?: number; hidden_size?: number };
  return n_embd ?? hidden_size ?? 0;
}

async function readConfig(directory: string): Promise<string> {
  const path = join(directory, 'config.json');
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new MendsetError('not-found', `Expected ${path} to describe a model but it cannot be read: ${(error as Error).message}.`, {
      cause: error,
    });
  }
}
