import { pack, type TokenSequence } from '../model/sequences.ts';
import type { PackedBatch } from '../native/binding.ts';
import type { PreparedPair } from './repair-data.ts';

/**
 * Packs one side of a batch. `padded` (the paper preset): a record's positions start at the number of pads its prompt would get
 * beside the batch's longest prompt, as they do in the published code; the pads themselves are left out.
 */
export function packSide(pairs: readonly PreparedPair[], side: 'chosen' | 'rejected', padded: boolean, context: number): PackedBatch {
  const sequences = pairs.map((p) => p[side] as TokenSequence);
  const batch = pack(sequences);
  if (!padded) return batch;
  const longest = Math.max(...pairs.map((p) => p.promptTokens));
  const positions = new Int32Array(batch.ids.length);
  pairs.forEach((pair, i) => {
    const length = (sequences[i] as TokenSequence).ids.length;
    const pads = Math.max(0, Math.min(longest - pair.promptTokens, context - length));
    const begin = batch.offsets[i] as number;
    for (let t = 0; t < length; t++) positions[begin + t] = pads + t;
  });
  return { ...batch, positions };
}

/** Consecutive groups of at most `size`. */
export function chunks<T>(values: readonly T[], size: number): T[][] {
  const out: T[][] = [];
  for (let begin = 0; begin < values.length; begin += size) out.push(values.slice(begin, begin + size));
  return out;
}
