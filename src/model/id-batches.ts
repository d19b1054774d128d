import type { PackedBatch } from '../native/binding.ts';

/** Most tokens of one native task, so that results arrive and progress shows. */
const TASK_TOKENS = 16_384;

/** Neighbouring sequences of together at most 16,384 tokens (or one longer sequence), in order. */
export function* batchesOfIds(sequences: readonly ArrayLike<number>[]): Generator<{ first: number; part: readonly ArrayLike<number>[] }> {
  let first = 0;
  let tokens = 0;
  for (let i = 0; i < sequences.length; i++) {
    const { length } = sequences[i] as ArrayLike<number>;
    if (i > first && tokens + length > TASK_TOKENS) {
      yield { first, part: sequences.slice(first, i) };
      first = i;
      tokens = 0;
    }
    tokens += length;
  }
  if (first < sequences.length) yield { first, part: sequences.slice(first) };
}

/** Concatenates ids without padding. */
export function packIds(sequences: readonly ArrayLike<number>[]): PackedBatch {
  const offsets = new Int32Array(sequences.length + 1);
  sequences.forEach((s, i) => {
    offsets[i + 1] = (offsets[i] as number) + s.length;
  });
  const ids = new Int32Array(offsets[sequences.length] as number);
  sequences.forEach((s, i) => {
    ids.set(s, offsets[i] as number);
  });
  return { ids, offsets };
}
