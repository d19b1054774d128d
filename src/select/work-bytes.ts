import { addon } from '../native/addon.ts';
import { callNative } from '../native/native-error.ts';

/** Bytes that the native work of a selection takes beside its input, estimated from the shape before it starts. n rows, d columns. */
function native(kind: Parameters<ReturnType<typeof addon>['selectionMemory']>[0], n: number, d: number, k: number): number {
  if (n === 0 || d === 0) return 0;
  return callNative(() => addon().selectionMemory(kind, n, d, Math.max(1, Math.min(k, n))));
}

/** The projected rows are part of it. */
export function pcaBytes(n: number, d: number, components: number): number {
  return native('pca', n, d, Math.min(components, d));
}

export function kMeansBytes(n: number, d: number, k: number): number {
  return native('k-means', n, d, k);
}

export function kCenterBytes(n: number, d: number, k: number): number {
  return native('k-center', n, d, k);
}

/** With the rows scaled to length 1, which only the cosine needs. */
export function neighbourBytes(n: number, d: number, k: number): number {
  return native('nearest-neighbours', n, d, Math.min(k, n - 1)) + 4 * n * d;
}

/** With the rows scaled to length 1, which only the cosine needs. */
export function facilityLocationBytes(n: number, d: number, budget: number): number {
  return native('facility-location', n, d, budget) + 4 * n * d;
}
