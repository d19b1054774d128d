import { describe, expect, it } from 'vitest';
import { equalWidthStrata, paperToxicityBins } from '../../../src/select/strata.ts';

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

it('paperToxicityBins uses the published bounds; a missing score is 0', () => {
  expect(paperToxicityBins([0.02, 0.021, 0.03, 0.04, 0.05, 0.051, Number.NaN, 1])).toEqual([[0, 6], [1, 2], [3], [4], [5, 7]]);
});
