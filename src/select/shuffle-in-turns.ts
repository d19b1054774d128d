import type { Turns } from '../core/turns.ts';

/** The source's own `shuffle(values)` in place, for arrays whose shuffling would hold the event loop. */
export async function shuffleInTurns(values: Int32Array, source: { below(n: number): number }, turns: Turns): Promise<Int32Array> {
  for (let i = values.length - 1; i > 0; i--) {
    if (i % 8192 === 0 && turns.due()) await turns.take(values.length - i, values.length);
    const place = source.below(i + 1);
    const value = values[i] as number;
    values[i] = values[place] as number;
    values[place] = value;
  }
  return values;
}
