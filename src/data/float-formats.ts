/** How floats lie in a file, little-endian: fp32, fp64, IEEE binary16 and bfloat16. */
export type FloatFormat = 'f32' | 'f64' | 'f16' | 'bf16';

export const FLOAT_BYTES: Readonly<Record<FloatFormat, number>> = { f32: 4, f64: 8, f16: 2, bf16: 2 };

/** IEEE 754 binary16 bits to a number. */
export function halfToSingle(bits: number): number {
  const sign = (bits & 0x8000) === 0 ? 1 : -1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Every binary16 number, once one was needed. */
let halves: Float32Array | undefined;

/** Widens stored floats into `target`; `bytes` begins at a multiple of 8 and holds target.length numbers. fp64 is rounded. */
export function decodeFloats(format: FloatFormat, bytes: Uint8Array, target: Float32Array): void {
  const { buffer, byteOffset } = bytes;
  const n = target.length;
  if (format === 'f32') target.set(new Float32Array(buffer, byteOffset, n));
  else if (format === 'f64') target.set(new Float64Array(buffer, byteOffset, n));
  else if (format === 'bf16') {
    const source = new Uint16Array(buffer, byteOffset, n);
    const out = new Uint32Array(target.buffer, target.byteOffset, n);
    for (let i = 0; i < n; i++) out[i] = (source[i] as number) << 16;
  } else {
    const source = new Uint16Array(buffer, byteOffset, n);
    halves ??= Float32Array.from({ length: 65536 }, (_, bits) => halfToSingle(bits));
    for (let i = 0; i < n; i++) target[i] = halves[source[i] as number] as number;
  }
}
