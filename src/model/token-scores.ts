import type { NativeTokenOutputs, PackedBatch } from '../native/binding.ts';

export interface TokenScores {
  /** Mean negative log-likelihood of the scored tokens, null without any */
  readonly loss: number | null;
  /** Sum of log-probabilities of the scored tokens */
  readonly logProb: number;
  readonly tokens: number;
  readonly el2n: number | null;
  readonly margin: number | null;
  /** Every scored token was the model's first choice */
  readonly allGreedy: boolean;
}

/** Room for everything that a pass says of a batch's tokens. */
export function tokenOutputs(batch: PackedBatch): Required<NativeTokenOutputs> {
  const n = batch.ids.length;
  return { logProb: new Float64Array(n), el2n: new Float64Array(n), margin: new Float64Array(n), argmax: new Int32Array(n) };
}

/** Sums and means over each sequence's scored tokens, in fp64 and in the tokens' order. */
export function sequenceScores(batch: PackedBatch, outputs: Required<NativeTokenOutputs>): TokenScores[] {
  return Array.from({ length: batch.offsets.length - 1 }, (_, i) => {
    let tokens = 0;
    let logProb = 0;
    let el2n = 0;
    let margin = 0;
    let allGreedy = true;
    for (let t = (batch.offsets[i] as number) + 1; t < (batch.offsets[i + 1] as number); t++) {
      if (batch.mask?.[t] === 0) continue;
      tokens++;
      logProb += outputs.logProb[t] as number;
      el2n += outputs.el2n[t] as number;
      margin += outputs.margin[t] as number;
      allGreedy &&= outputs.argmax[t] === batch.ids[t];
    }
    const mean = (sum: number) => (tokens === 0 ? null : sum / tokens);
    return { loss: mean(-logProb), logProb, tokens, el2n: mean(el2n), margin: mean(margin), allGreedy };
  });
}
