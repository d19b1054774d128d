import { type KlOptions, klTerm, type RepairMethod } from './method.ts';

/**
 * Negative preference optimisation (Zhang, Lin, Bai, Mei 2024, arXiv 2404.05868, eq. 3): unlearns the rejected texts by
 * 2 / beta softplus(beta (log pi - log ref)) with summed log-probabilities of the completion, which is DPO without a chosen side. Where
 * beta goes to 0 it becomes gradient ascent. `kl` is the paper's term that retains the rest (NPO+KL).
 *
 * @example
 * const result = await repair(model, { ...data, normal }, npo({ kl: { weight: 1 } }));
 */
export function npo(options: { kl?: KlOptions | undefined; beta?: number | undefined } = {}): RepairMethod {
  return {
    name: 'npo',
    loss: 'npo',
    ...klTerm(options.kl),
    slice: { kind: 'all' },
    beta: options.beta ?? 0.1,
    learningRate: 1e-5,
    needsChosen: false,
    needsRejected: true,
  };
}
