/** What every generator offers on top of its 32-bit outputs. */
interface RandomSource {
  /** Next output, an integer in [0, 2^32). */
  next(): number;
  /** A uniform integer in [0, n); n from 1 to 2^32 - 1. */
  below(n: number): number;
}

/** Fisher-Yates in place: for i = n-1 .. 1 swap i with below(i + 1). */
function shuffleInPlace<T extends Int32Array | Uint32Array | unknown[]>(values: T, source: RandomSource): T {
  const items = values as unknown[];
  for (let i = items.length - 1; i > 0; i--) {
    const j = source.below(i + 1);
    const held = items[i];
    items[i] = items[j];
    items[j] = held;
  }
  return values;
}

/** A permutation of 0 .. n-1. */
function permutation(n: number, source: RandomSource): Int32Array {
  return shuffleInPlace(
    Int32Array.from({ length: n }, (_, i) => i),
    source,
  );
}

/** Top bits of an output, redrawn while >= n. */
function belowByTopBits(n: number, source: RandomSource): number {
  const shift = Math.clz32(n);
  for (;;) {
    const value = source.next() >>> shift;
    if (value < n) return value;
  }
}

/** 53 random bits in [0, 1). */
function uniformFrom(source: RandomSource): number {
  const high = source.next() >>> 5;
  const low = source.next() >>> 6;
  return (high * 67108864 + low) / 9007199254740992;
}

/** The MT19937 state and its two seedings. */
class MersenneTwister {
  readonly #state: Uint32Array = new Uint32Array(624);
  #index = 624;

  seedScalar(seed: number): void {
    const state = this.#state;
    state[0] = seed;
    for (let i = 1; i < 624; i++) {
      const previous = state[i - 1] as number;
      state[i] = Math.imul(previous ^ (previous >>> 30), 1812433253) + i;
    }
    this.#index = 624;
  }

  seedArray(key: readonly number[]): void {
    this.seedScalar(19650218);
    const state = this.#state;
    let i = 1;
    let j = 0;
    const advance = (): void => {
      if (++i < 624) return;
      state[0] = state[623] as number;
      i = 1;
    };
    for (let step = Math.max(624, key.length); step > 0; step--) {
      const previous = state[i - 1] as number;
      state[i] = ((state[i] as number) ^ Math.imul(previous ^ (previous >>> 30), 1664525)) + (key[j] as number) + j;
      advance();
      if (++j >= key.length) j = 0;
    }
    for (let step = 623; step > 0; step--) {
      const previous = state[i - 1] as number;
      state[i] = ((state[i] as number) ^ Math.imul(previous ^ (previous >>> 30), 1566083941)) - i;
      advance();
    }
    state[0] = 0x80000000;
  }

  next(): number {
    if (this.#index === 624) this.#twist();
    let y = this.#state[this.#index++] as number;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  #twist(): void {
    const state = this.#state;
    for (let i = 0; i < 624; i++) {
      const y = ((state[i] as number) & 0x80000000) | ((state[(i + 1) % 624] as number) & 0x7fffffff);
      state[i] = (state[(i + 397) % 624] as number) ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.#index = 0;
  }
}

/**
 * `py`: the generator of CPython's `random` module, for the pool shuffle and the paper preset.
 *
 * @example
 * new PythonRandom(43).permutation(10); // 8 1 5 6 9 7 3 2 4 0
 */
export class PythonRandom {
  readonly #twister: MersenneTwister = new MersenneTwister();

  /** Seeds as `random.seed(int)`: the little-endian 32-bit words of |seed|. */
  constructor(seed: number | bigint) {
    let rest = BigInt(seed);
    if (rest < 0n) rest = -rest;
    const key: number[] = [];
    do {
      key.push(Number(rest & 0xffffffffn));
      rest >>= 32n;
    } while (rest > 0n);
    this.#twister.seedArray(key);
  }

  next(): number {
    return this.#twister.next();
  }

  below(n: number): number {
    return belowByTopBits(n, this);
  }

  /** `random.random()` */
  uniform(): number {
    return uniformFrom(this);
  }

  /** `random.shuffle`, in place. */
  shuffle<T extends Int32Array | Uint32Array | unknown[]>(values: T): T {
    return shuffleInPlace(values, this);
  }

  /** 0 .. n-1 shuffled. */
  permutation(n: number): Int32Array {
    return permutation(n, this);
  }

  /** `random.sample(range(n), k)`: k distinct integers below n, k <= n. */
  sample(n: number, k: number): number[] {
    return [...this.draws(n, k)];
  }

  /** The same one after another. */
  *draws(n: number, k: number): Generator<number, void, undefined> {
    let poolLimit = 21;
    if (k > 5) poolLimit += 4 ** ceilLog4(3 * k);
    if (n <= poolLimit) {
      const pool = new Int32Array(n);
      for (let i = 0; i < n; i++) pool[i] = i;
      for (let i = 0; i < k; i++) {
        const j = this.below(n - i);
        yield pool[j] as number;
        pool[j] = pool[n - i - 1] as number;
      }
      return;
    }
    const seen = new Set<number>();
    for (let i = 0; i < k; i++) {
      let value = this.below(n);
      while (seen.has(value)) value = this.below(n);
      seen.add(value);
      yield value;
    }
  }
}

/** The least e with 4^e >= value, in integers: CPython's rounded logarithm never differs here, ours cannot. */
function ceilLog4(value: number): number {
  let exponent = 0;
  for (let power = 1; power < value; power *= 4) exponent++;
  return exponent;
}

/**
 * `np`: numpy's legacy `RandomState`, for the paper preset.
 *
 * @example
 * new NumpyRandom(42).below(4400); // 860
 */
export class NumpyRandom {
  readonly #twister: MersenneTwister = new MersenneTwister();

  /** seed: an integer in [0, 2^32). */
  constructor(seed: number) {
    this.#twister.seedScalar(seed >>> 0);
  }

  next(): number {
    return this.#twister.next();
  }

  /** `randint(n)`: outputs masked by the smallest 2^m - 1 >= n - 1, redrawn while > n - 1. One value below 1 draws nothing. */
  below(n: number): number {
    if (n === 1) return 0;
    const mask = 0xffffffff >>> Math.clz32(n - 1);
    for (;;) {
      const value = (this.next() & mask) >>> 0;
      if (value < n) return value;
    }
  }

  /** `random_sample()` */
  uniform(): number {
    return uniformFrom(this);
  }

  permutation(n: number): Int32Array {
    return permutation(n, this);
  }
}

/** Who owns which stream: equal seeds never make two consumers draw the same numbers. */
export const STREAM_IDS = {
  random: 2,
  kCenter: 3,
  ccs: 4,
  kMeans: 5,
  trainingOrder: 6,
  normalData: 7,
  generation: 8,
  bootstrap: 9,
  stratified: 11,
  miniBatch: 12,
} as const;

/** One block of Philox4x32-10: four 32-bit outputs of a counter and a key (Salmon et al. 2011). */
export function philox(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): [number, number, number, number] {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const [high0, low0] = multiply(0xd2511f53, c0);
    const [high2, low2] = multiply(0xcd9e8d57, c2);
    c0 = (high2 ^ c1 ^ k0) >>> 0;
    c1 = low2;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** The high and low halves of a 32 x 32 bit product, through 16-bit limbs (doubles hold 53 bits exactly). */
function multiply(a: number, b: number): [number, number] {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const low = aLow * bLow;
  const middle = aHigh * bLow + (low >>> 16);
  const middle2 = aLow * bHigh + (middle % 65536);
  const high = aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(middle2 / 65536);
  return [high >>> 0, Math.imul(a, b) >>> 0];
}

/** Blocks that a stream computes at a time, once it is well under way. */
const MOST_BLOCKS = 64;

/**
 * `stream`: counter-based random numbers, equal to the native engine's.
 *
 * @example
 * new RandomStream(43, STREAM_IDS.random).permutation(10); // 0 9 3 2 7 8 1 6 5 4
 */
export class RandomStream {
  readonly #key: readonly [number, number];
  readonly #id: number;
  readonly #sub: number;
  #block = 0;
  #used = 0;
  #outputs: Uint32Array = new Uint32Array(0);

  /** seed: taken modulo 2^64. id: one of {@link STREAM_IDS}. sub: a restart, an epoch, a sample. */
  constructor(seed: number | bigint, id: number, sub = 0) {
    const wide = BigInt.asUintN(64, BigInt(seed));
    this.#key = [Number(wide & 0xffffffffn), Number(wide >> 32n)];
    this.#id = id >>> 0;
    this.#sub = sub >>> 0;
  }

  next(): number {
    if (this.#used === this.#outputs.length) this.#fill();
    return this.#outputs[this.#used++] as number;
  }

  /** The next blocks, more each time; `philox` written out, without a tuple for each step. */
  #fill(): void {
    const blocks = Math.min(MOST_BLOCKS, Math.max(1, this.#outputs.length / 2));
    if (this.#outputs.length !== 4 * blocks) this.#outputs = new Uint32Array(4 * blocks);
    const outputs = this.#outputs;
    for (let at = 0; at < outputs.length; at += 4) {
      let c0 = this.#block >>> 0;
      let c1 = Math.floor(this.#block / 4294967296);
      let c2 = this.#id;
      let c3 = this.#sub;
      let [k0, k1] = this.#key;
      this.#block++;
      for (let round = 0; round < 10; round++) {
        // The high halves of c0 x 0xd2511f53 and c2 x 0xcd9e8d57, by 16-bit limbs of c: no product exceeds 2^48.
        const high0 = ((c0 >>> 16) * 0xd2511f53 + ((((c0 & 0xffff) * 0xd2511f53) / 65536) >>> 0)) / 65536;
        const high2 = ((c2 >>> 16) * 0xcd9e8d57 + ((((c2 & 0xffff) * 0xcd9e8d57) / 65536) >>> 0)) / 65536;
        const low0 = Math.imul(c0, 0xd2511f53);
        const low2 = Math.imul(c2, 0xcd9e8d57);
        c0 = ((high2 >>> 0) ^ c1 ^ k0) >>> 0;
        c1 = low2 >>> 0;
        c2 = ((high0 >>> 0) ^ c3 ^ k1) >>> 0;
        c3 = low0 >>> 0;
        k0 = (k0 + 0x9e3779b9) >>> 0;
        k1 = (k1 + 0xbb67ae85) >>> 0;
      }
      outputs[at] = c0;
      outputs[at + 1] = c1;
      outputs[at + 2] = c2;
      outputs[at + 3] = c3;
    }
    this.#used = 0;
  }

  below(n: number): number {
    return belowByTopBits(n, this);
  }

  /** A double in [0, 1) of 53 bits. */
  uniform(): number {
    return uniformFrom(this);
  }

  shuffle<T extends Int32Array | Uint32Array | unknown[]>(values: T): T {
    return shuffleInPlace(values, this);
  }

  /** `count` entries without replacement, in the order of drawing: the first of `values` after i = 0 .. count-1 were swapped with i + below(length - i). */
  sample(values: Int32Array, count: number): Int32Array {
    for (let i = 0; i < count; i++) {
      const place = i + this.below(values.length - i);
      const drawn = values[place] as number;
      values[place] = values[i] as number;
      values[i] = drawn;
    }
    return values.subarray(0, count);
  }

  /** 0 .. n-1 shuffled. */
  permutation(n: number): Int32Array {
    return permutation(n, this);
  }
}
