import { type KlOptions, klTerm, type RepairMethod } from './method.ts';

/**
 * Domain-adaptive pre-training: cross-entropy on the chosen texts, all parameters.
 *
 * @example
 * const result = await repair(model, { train, validation, appendEos: true }, dapt(), { seed: 202 });
 */
export function dapt(options: { kl?: KlOptions | undefined } = {}): RepairMethod {
  return {
    name: 'dapt',
    loss: 'ce',
    ...klTerm(options.kl),
    slice: { kind: 'all' },
    beta: 0,
    learningRate: options.kl ? 5e-6 : 1e-6,
    needsChosen: true,
    needsRejected: false,
  };
}
