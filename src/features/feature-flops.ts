import type { LanguageModel } from '../model/language-model.ts';
import type { TokenSequence } from '../model/sequences.ts';

/** Multiply-adds of a forward pass through the weight matrices, times two, without attention: 2 x weights per token. */
export function forwardFlops(model: LanguageModel, sequences: readonly TokenSequence[]): number {
  return 2 * model.summary.parameters * countTokens(sequences);
}

/**
 * Exact per-sample gradient norms: forward and the gradients of activations (2F), plus for each weight matrix p x q the cheaper of
 * two Gram matrices (T^2 (p + q)) and the product itself (2 T p q).
 */
export function gradientNormFlops(model: LanguageModel, sequences: readonly TokenSequence[]): number {
  let grams = 0;
  const shapes = model.tensors.filter((t) => t.shape.length === 2).map((t) => t.shape as [number, number]);
  for (const { ids } of sequences) {
    const tokens = ids.length;
    for (const [p, q] of shapes) grams += Math.min(tokens ** 2 * (p + q), 2 * tokens * p * q);
  }
  return 2 * forwardFlops(model, sequences) + grams;
}

function countTokens(sequences: readonly TokenSequence[]): number {
  return sequences.reduce((sum, s) => sum + s.ids.length, 0);
}
