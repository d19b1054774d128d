import type { Turns } from '../core/turns.ts';

/**
 * The members of each group, groups by ascending number, members by ascending index.
 * @example strataOfGroups([7, 2, 7]).members // [[1], [0, 2]]
 */
export async function strataOfGroups(
  groups: Int32Array,
  turns: Turns,
): Promise<{ readonly labels: Int32Array; readonly members: readonly Int32Array[] }> {
  const n = groups.length;
  const sizes = new Map<number, number>();
  for (let i = 0; i < n; i++) {
    if (i % 65536 === 0 && turns.due()) await turns.take(i, 2 * n);
    sizes.set(groups[i] as number, (sizes.get(groups[i] as number) ?? 0) + 1);
  }
  const numbers = [...sizes.keys()].sort((a, b) => a - b);
  const places = new Map(numbers.map((number, place) => [number, place]));
  const members = numbers.map((number) => new Int32Array(sizes.get(number) as number));
  const filled = new Int32Array(numbers.length);
  const labels = new Int32Array(n);
  for (let i = 0; i < n; i++) {
    if (i % 65536 === 0 && turns.due()) await turns.take(n + i, 2 * n);
    const place = places.get(groups[i] as number) as number;
    labels[i] = place;
    (members[place] as Int32Array)[filled[place] as number] = i;
    filled[place] = (filled[place] as number) + 1;
  }
  return { labels, members };
}
