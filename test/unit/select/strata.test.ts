import { describe, expect, it } from 'vitest';
import { RandomStream } from '../../../src/core/random.ts';
import { Turns } from '../../../src/core/turns.ts';
import { rankAscending, rankDescending } from '../../../src/select/rank.ts';
import { paperToxicityBins, equalWidthStrata as strataAsArrays } from '../../../src/select/strata.ts';
import { withoutExtremes } from '../../../src/select/without-extremes.ts';

const equalWidthStrata = (...given: Parameters<typeof strataAsArrays>): number[][] => strataAsArrays(...given).map((each) => [...each]);

describe('equalWidthStrata', () => {
  it('closes the last stratum only', () => {
    expect(equalWidthStrata([0, 1, 2, 3, 4], [0, 1, 2, 3, 4], 4)).toEqual([[0], [1], [2], [3, 4]]);
  });
  it('makes one stratum of equal scores', () => {
    expect(equalWidthStrata([2, 2, 2], [0, 2], 50)).toEqual([[0, 2]]);
  });
  it('works for negative and huge scores', () => {
    expect(equalWidthStrata([-3, -1], [0, 1], 2)).toEqual([[0], [1]]);
    expect(equalWidthStrata([-Number.MAX_VALUE, 0, Number.MAX_VALUE], [0, 1, 2], 2)).toEqual([[0], [1, 2]]);
  });
});

it('paperToxicityBins uses the published bounds; a missing score is 0', async () => {
  const { labels, members } = await paperToxicityBins([0.02, 0.021, 0.03, 0.04, 0.05, 0.051, Number.NaN, 1], new Turns('test', {}));
  expect(members.map((each) => [...each])).toEqual([[0, 6], [1, 2], [3], [4], [5, 7]]);
  expect([...labels]).toEqual([0, 1, 1, 2, 3, 4, 0, 4]);
});

it('withoutExtremes equals a full sort', () => {
  const stream = new RandomStream(1, 2);
  const kinds: (() => number)[] = [
    () => stream.uniform(),
    () => stream.below(4),
    () => 3,
    () => (stream.uniform() - 0.5) * 1e308,
    () => stream.uniform() ** 40,
  ];
  for (const kind of kinds) {
    const values = Float64Array.from({ length: 500 }, kind);
    values[7] = -Number.MAX_VALUE;
    values[8] = Number.MAX_VALUE;
    const members = Int32Array.from({ length: 450 }, (_, i) => i + 3);
    for (const removed of [0, 1, 17, 200, 449, 450]) {
      for (const end of ['high', 'low'] as const) {
        const ranked = (end === 'high' ? rankDescending : rankAscending)(values, members);
        expect([...withoutExtremes(values, members, removed, end)]).toEqual([...ranked.slice(removed).sort()]);
      }
    }
  }
});

it('ranks the same by digits as by comparison', () => {
  const stream = new RandomStream(6, 2);
  const n = 5000;
  const values = Float64Array.from({ length: n }, (_, i) =>
    i % 3 === 0 ? stream.below(50) - 25 : (stream.uniform() - 0.5) * 10 ** (stream.below(600) - 300),
  );
  values.set([0, -0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.MIN_VALUE, -Number.MIN_VALUE]);
  const members = stream.permutation(n).slice(0, 4000);
  expect([...rankDescending(values, members)]).toEqual([...members].sort((a, b) => (values[b] as number) - (values[a] as number) || a - b));
  const ascending = (a: number, b: number) =>
    (values[a] as number) === (values[b] as number) ? a - b : (values[a] as number) - (values[b] as number);
  expect([...rankAscending(values, members)]).toEqual([...members].sort(ascending));
});
