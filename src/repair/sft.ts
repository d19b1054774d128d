import { type KlOptions, klTerm, type RepairMethod } from './method.ts';

/**
 * Supervised fine-tuning on the chosen side alone: mean cross-entropy of the completion's tokens given the prompt, all parameters,
 * whatever the preset's mask. The loss and the learning rate are TRL's SFTTrainer's for prompt-completion records.
 *
 * @example
 * const result = await repair(model, { train, validation, appendEos: true }, sft(), { optimizer: { kind: 'adamw' } });
 */
export function sft(options: { kl?: KlOptions | undefined } = {}): RepairMethod {
  return {
    name: 'sft',
    loss: 'ce',
    ...klTerm(options.kl),
    slice: { kind: 'all' },
    beta: 0,
    learningRate: 2e-5,
    needsChosen: true,
    needsRejected: false,
  };
}
