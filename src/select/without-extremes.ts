/** Buckets of the first look; the bucket that holds the bound is then sorted. */
const BUCKETS = 1 << 16;

/**
 * Members without the `removed` first ones by (value, lowest index), from the high or the low end. Two passes and a sort of one bucket
 * instead of a sort of all. Members and result are ascending.
 * @param values finite
 * @example withoutExtremes([5, 1, 5, 2], Int32Array.of(0, 1, 2, 3), 1, 'high') // [1, 2, 3]
 */
export function withoutExtremes(values: ArrayLike<number>, members: Int32Array, removed: number, end: 'high' | 'low'): Int32Array {
  if (removed <= 0) return members;
  if (removed >= members.length) return new Int32Array(0);
  const { low, high } = extent(values, members);
  const sign = end === 'high' ? -1 : 1;
  // Monotone in the value, 0 for the first to go; halved before subtracting, because high - low may overflow.
  const scale = (BUCKETS - 1) / (high / 2 - low / 2);
  const bucketOf = (value: number): number => {
    if (!(scale < Number.POSITIVE_INFINITY)) return 0;
    const place = Math.floor((value / 2 - low / 2) * scale);
    return end === 'high' ? BUCKETS - 1 - place : place;
  };
  const counts = new Int32Array(BUCKETS);
  for (const i of members) {
    const bucket = bucketOf(values[i] as number);
    counts[bucket] = (counts[bucket] as number) + 1;
  }
  let edge = 0;
  let before = 0;
  while (before + (counts[edge] as number) <= removed) before += counts[edge++] as number;
  const border: number[] = [];
  for (const i of members) if (bucketOf(values[i] as number) === edge) border.push(i);
  border.sort((a, b) => sign * ((values[a] as number) - (values[b] as number)) || a - b);
  const gone = new Set(border.slice(0, removed - before));
  const kept = new Int32Array(members.length - removed);
  let count = 0;
  for (const i of members) {
    const bucket = bucketOf(values[i] as number);
    if (bucket > edge || (bucket === edge && !gone.has(i))) kept[count++] = i;
  }
  return kept;
}

/** Smallest and largest value of some members. */
export function extent(values: ArrayLike<number>, members: ArrayLike<number>): { readonly low: number; readonly high: number } {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let at = 0; at < members.length; at++) {
    const value = values[members[at] as number] as number;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { low, high };
}
