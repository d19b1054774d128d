import { describe, expect, it } from 'vitest';
import { NumpyRandom, PythonRandom, philox, RandomStream } from '../../../src/core/random.ts';

function outputs(source: { next(): number }, count: number): number[] {
  return Array.from({ length: count }, () => source.next());
}

describe('PythonRandom (CPython random.seed(43))', () => {
  it('gives the first outputs', () => {
    expect(outputs(new PythonRandom(43), 3)).toEqual([165578901, 1228722198, 2990260696]);
  });
  it('shuffles', () => {
    expect([...new PythonRandom(43).permutation(10)]).toEqual([8, 1, 5, 6, 9, 7, 3, 2, 4, 0]);
    expect([...new PythonRandom(43).permutation(24512).slice(0, 5)]).toEqual([6447, 10781, 19939, 3119, 24188]);
    expect(new PythonRandom(43).shuffle([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])).toEqual([8, 1, 5, 6, 9, 7, 3, 2, 4, 0]);
  });
  it('samples by both of its methods', () => {
    expect(new PythonRandom(43).sample(100, 10)).toEqual([4, 36, 89, 97, 18, 59, 47, 85, 12, 58]);
    expect(new PythonRandom(43).sample(20, 5)).toEqual([1, 9, 4, 14, 11]);
  });
  it('gives the first double', () => {
    expect(new PythonRandom(43).uniform()).toBe(0.038551839337380045);
  });
  it('seeds by the absolute value and by all words', () => {
    expect(outputs(new PythonRandom(-43), 3)).toEqual(outputs(new PythonRandom(43n), 3));
    expect(outputs(new PythonRandom(43n + (1n << 40n)), 3)).not.toEqual(outputs(new PythonRandom(43), 3));
  });
});

describe('NumpyRandom (numpy.random.RandomState(42))', () => {
  it.each([
    [4400, 860],
    [10, 6],
    [24512, 23654],
  ])('gives an integer below %i', (n, expected) => {
    expect(new NumpyRandom(42).below(n)).toBe(expected);
  });
});

describe('RandomStream (Philox4x32-10)', () => {
  it('gives the published block of key 0, counter 0', () => {
    expect(philox([0, 0, 0, 0], [0, 0])).toEqual([0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
  });
  it('gives stream(43, 2)', () => {
    expect(outputs(new RandomStream(43, 2), 3)).toEqual([1165689429, 1389479825, 1710088048]);
    expect([...new RandomStream(43, 2).permutation(10)]).toEqual([0, 9, 3, 2, 7, 8, 1, 6, 5, 4]);
  });
  it('has independent subs', () => {
    expect(outputs(new RandomStream(43, 2, 1), 8)).not.toEqual(outputs(new RandomStream(43, 2, 0), 8));
  });
  it('stays in its bounds', () => {
    const stream = new RandomStream(1, 2);
    for (const n of [1, 2, 3, 4, 5, 31, 32, 33, 2 ** 31, 2 ** 32 - 1]) {
      for (let i = 0; i < 50; i++) {
        const value = stream.below(n);
        expect(Number.isInteger(value) && value >= 0 && value < n).toBe(true);
      }
    }
  });
});
