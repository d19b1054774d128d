import { MendsetError } from '../core/errors.ts';
import type { PackedBatch } from '../native/binding.ts';

/** A tokenised text with the tokens that count in a loss. */
export interface TokenSequence {
  readonly ids: Int32Array;
  /** 1 = scored target; the first token never is */
  readonly mask: Uint8Array;
}

export interface SequenceLimits {
  /** Most tokens a completion keeps (its start is kept); default 128 */
  readonly completion?: number;
  /** Most tokens of prompt and completion together (the prompt's start is dropped); default min(1024, context) */
  readonly total: number;
}

/**
 * Prompt and completion ids become one sequence. The loss mask is by length, never by token id. An empty prompt is replaced by one
 * `eos`, so that the first completion token has a prediction.
 *
 * @throws MendsetError `invalid-data` for an empty prompt without `eos`
 * @example
 * const s = completionSequence(tokenizer.encode('The cat', { specials: 'before' }), tokenizer.encode(' sat.'), { total: 1024, eos: tokenizer.eos });
 */
export function completionSequence(
  prompt: ArrayLike<number>,
  completion: ArrayLike<number>,
  options: SequenceLimits & { eos: number | null; mask?: 'completion' | 'all' },
): TokenSequence {
  const completionLength = Math.min(completion.length, options.completion ?? 128, options.total - 1);
  const wanted = prompt.length === 0 ? 1 : prompt.length;
  const promptLength = Math.min(wanted, options.total - completionLength);
  if (prompt.length === 0 && options.eos === null) {
    throw new MendsetError(
      'invalid-data',
      'Expected a non-empty prompt, because the tokenizer has no end-of-text token to stand in for it.',
    );
  }
  const ids = new Int32Array(promptLength + completionLength);
  for (let i = 0; i < promptLength; i++) {
    ids[i] = prompt.length === 0 ? (options.eos as number) : (prompt[prompt.length - promptLength + i] as number);
  }
  for (let i = 0; i < completionLength; i++) ids[promptLength + i] = completion[i] as number;
  const mask = new Uint8Array(ids.length).fill(1, options.mask === 'all' ? 1 : promptLength);
  return { ids, mask };
}

/** Concatenates sequences without padding. */
export function pack(sequences: readonly TokenSequence[]): PackedBatch {
  const offsets = new Int32Array(sequences.length + 1);
  sequences.forEach((s, i) => {
    offsets[i + 1] = (offsets[i] as number) + s.ids.length;
  });
  const ids = new Int32Array(offsets[sequences.length] as number);
  const mask = new Uint8Array(ids.length);
  sequences.forEach((s, i) => {
    ids.set(s.ids, offsets[i] as number);
    mask.set(s.mask, offsets[i] as number);
  });
  return { ids, offsets, mask };
}

/** Groups sequence indices into batches of at most `tokens` tokens (and at least one sequence), in order. */
export function batchesByTokens(sequences: readonly TokenSequence[], tokens: number): number[][] {
  const batches: number[][] = [];
  let current: number[] = [];
  let sum = 0;
  sequences.forEach((s, i) => {
    if (current.length > 0 && sum + s.ids.length > tokens) {
      batches.push(current);
      current = [];
      sum = 0;
    }
    current.push(i);
    sum += s.ids.length;
  });
  if (current.length > 0) batches.push(current);
  return batches;
}
