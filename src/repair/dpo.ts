import { type KlOptions, klTerm, type RepairMethod } from './method.ts';

/**
 * Direct preference optimisation: softplus(-z), z = beta ((log pi_c - log pi_r) - (log ref_c - log ref_r)) with summed
 * log-probabilities of the completions under the policy and under the original model.
 *
 * @example
 * const result = await repair(model, data, dpo({ beta: 0.1 }), { learningRate: 1e-6 });
 */
export function dpo(options: { kl?: KlOptions | undefined; beta?: number | undefined } = {}): RepairMethod {
  return {
    name: 'dpo',
    loss: 'dpo',
    ...klTerm(options.kl),
    slice: { kind: 'all' },
    beta: options.beta ?? 0.1,
    learningRate: 1e-6,
    needsChosen: true,
    needsRejected: true,
  };
}
