import { MendsetError } from '../core/errors.ts';
import { forEachNgram, scorerWords } from './ngram-features.ts';

const magic = 'MSNG';
const headerBytes = 20;
/** Words rated at once, and how far the next passage of a longer text begins */
const passageWords = 32;
const passageStride = 16;

/**
 * A logistic regression on hashed n-grams with weights of 8 bits: logit = bias + scale * sum(weights of the occurrences) / sqrt(occurrences).
 *
 * File, little-endian: `MSNG`, u32 version 1, u32 bits, f32 scale, f32 bias, then 2^bits int8 weights.
 */
export class NgramWeights {
  readonly bits: number;
  readonly scale: number;
  readonly bias: number;
  /** [2^bits] */
  readonly weights: Int8Array;

  constructor(bits: number, scale: number, bias: number, weights: Int8Array) {
    this.bits = bits;
    this.scale = Math.fround(scale);
    this.bias = Math.fround(bias);
    this.weights = weights;
  }

  static parse(bytes: Uint8Array, path: string): NgramWeights {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const bits = bytes.length >= headerBytes ? view.getUint32(8, true) : 0;
    if (
      bytes.length < headerBytes ||
      String.fromCharCode(...bytes.subarray(0, 4)) !== magic ||
      view.getUint32(4, true) !== 1 ||
      bits < 8 ||
      bits > 24 ||
      bytes.length !== headerBytes + 2 ** bits
    ) {
      throw new MendsetError(
        'corrupt',
        `Expected the weights of the built-in scorer in '${path}' but the file is damaged; install the package again.`,
      );
    }
    const weights = Int8Array.from(new Int8Array(bytes.buffer, bytes.byteOffset + headerBytes, 2 ** bits));
    return new NgramWeights(bits, view.getFloat32(12, true), view.getFloat32(16, true), weights);
  }

  toBytes(): Uint8Array {
    const bytes = new Uint8Array(headerBytes + this.weights.length);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < 4; i++) bytes[i] = magic.charCodeAt(i);
    view.setUint32(4, 1, true);
    view.setUint32(8, this.bits, true);
    view.setFloat32(12, this.scale, true);
    view.setFloat32(16, this.bias, true);
    bytes.set(new Uint8Array(this.weights.buffer, this.weights.byteOffset, this.weights.length), headerBytes);
    return bytes;
  }

  /** Probability of toxicity, in [0, 1]. A text over 32 words scores as its worst passage of 32; one without a word scores 0. */
  score(text: string): number {
    const words = scorerWords(text);
    let worst = this.scoreWords(words.slice(0, passageWords));
    for (let start = passageStride; start + passageStride < words.length; start += passageStride) {
      worst = Math.max(worst, this.scoreWords(words.slice(start, start + passageWords)));
    }
    return worst;
  }

  private scoreWords(words: readonly string[]): number {
    let sum = 0;
    const count = forEachNgram(words, this.bits, (bucket) => {
      sum += this.weights[bucket] as number;
    });
    return count === 0 ? 0 : 1 / (1 + Math.exp(-(this.bias + (this.scale * sum) / Math.sqrt(count))));
  }
}
