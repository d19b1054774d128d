import { methodLabel, type RepairMethod } from './method.ts';
import type { RepairOptions } from './options.ts';

/** Whose hyperparameters: dpo_toxic (arXiv 2401.01967), the IRepair paper (arXiv 2502.07072), the SAPS code. */
export const PUBLISHED_SOURCES = ['dpo-toxic', 'irepair', 'saps'] as const;
export type PublishedSource = (typeof PUBLISHED_SOURCES)[number];
export type PublishedModel = 'gpt2-large' | 'gpt2-xl' | 'gpt-neo-1.3b';

/** Learning rates of the IRepair paper; DPO+KL is ours, there is none. */
const IREPAIR_RATES: Readonly<Record<string, number>> = {
  dapt: 1e-6,
  'dapt+kl': 5e-6,
  dpo: 1e-6,
  'dpo+kl': 1e-6,
  irepair: 2e-5,
  'irepair+kl': 5e-5,
};

/** Iterations (steps of 4 records) after which the IRepair paper's runs had stopped. */
const IREPAIR_STEPS: Readonly<Record<PublishedModel, Readonly<Record<string, number>>>> = {
  'gpt2-large': { dapt: 6200, 'dapt+kl': 3750, dpo: 2325, irepair: 8250, 'irepair+kl': 5125 },
  'gpt2-xl': { dapt: 11_775, 'dapt+kl': 4950, dpo: 2225, irepair: 4700, 'irepair+kl': 5000 },
  'gpt-neo-1.3b': { dapt: 3000, 'dapt+kl': 1700, dpo: 2000, irepair: 1975, 'irepair+kl': 3025 },
};

const SHARED: RepairOptions = { optimizer: { kind: 'rmsprop' }, batchSize: 4, evalBatchSize: 8, warmupSteps: 150, patience: 30 };

/**
 * Published hyperparameters as repair options; what a source does not say is left to the defaults. They say how long and how fast, while
 * `preset: 'paper'` says how records are masked, ordered and padded. `model` adds the number of steps of the IRepair paper's run.
 *
 * @example
 * await repair(model, data, irepair({ kl: {} }), { ...publishedOptions('irepair', irepair({ kl: {} })), preset: 'paper' });
 */
export function publishedOptions(source: PublishedSource, method: RepairMethod, model?: PublishedModel): RepairOptions {
  const label = methodLabel(method);
  const rate = IREPAIR_RATES[label];
  const steps = model && IREPAIR_STEPS[model][label];
  switch (source) {
    case 'dpo-toxic':
      return {
        ...SHARED,
        learningRate: 1e-6,
        clipNorm: 10,
        epochs: 5,
        evalEvery: 100,
        totalTokens: 256,
        completionTokens: 64,
        beta: 0.1,
        seed: 42,
      };
    case 'irepair':
      return {
        ...SHARED,
        ...(rate === undefined ? {} : { learningRate: rate }),
        clipNorm: 0,
        evalEvery: 100,
        ...(steps === undefined ? { epochs: 2 } : { steps }),
      };
    case 'saps':
      return { ...SHARED, learningRate: 5e-5, clipNorm: 0.5, epochs: 1, evalEvery: 40, completionTokens: 128, beta: 0.1, seed: 202 };
  }
}
