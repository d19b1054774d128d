import { describe, expect, it } from 'vitest';
import { packSide } from '../../../src/repair/batches.ts';
import { dapt } from '../../../src/repair/dapt.ts';
import { dpo } from '../../../src/repair/dpo.ts';
import { irepair } from '../../../src/repair/irepair.ts';
import type { RepairMethod } from '../../../src/repair/method.ts';
import { type RepairOptions, resolveOptions } from '../../../src/repair/options.ts';
import { prepareData, type RepairData } from '../../../src/repair/repair-data.ts';
import { byteTokenizer } from '../../byte-tokenizer.ts';
import { pairRecord, pairRecords } from '../../pair-records.ts';

const model = { tokenizer: byteTokenizer, requireTokenizer: () => byteTokenizer, summary: { vocab: 257, context: 64, eos: 256 } };
const prepare = (data: Partial<RepairData>, method: RepairMethod, options: RepairOptions = {}) =>
  prepareData(
    model,
    { train: [], validation: [], appendEos: false, ...data },
    method,
    resolveOptions(method, { batchSize: 1, keep: 'last', ...options }, 64),
  );

describe('prepareData', () => {
  it('joins prompt and completion ids and masks by length', () => {
    const [pair] = prepare({ train: [pairRecord({ prompt: 'ab', chosen: 'cde' })] }, dapt()).train;
    expect([...(pair?.chosen?.ids ?? [])]).toEqual([97, 98, 99, 100, 101]);
    expect([...(pair?.chosen?.mask ?? [])]).toEqual([0, 0, 1, 1, 1]);
    expect(pair?.promptTokens).toBe(2);
    expect(pair?.rejected).toBeNull();
  });
  it('appends the end of text, and puts one in place of an empty prompt', () => {
    const [pair] = prepare({ train: [pairRecord({ prompt: '', chosen: 'c', rejected: 'd' })], appendEos: true }, irepair()).train;
    expect([...(pair?.chosen?.ids ?? [])]).toEqual([256, 99, 256]);
    expect([...(pair?.rejected?.ids ?? [])]).toEqual([256, 100, 256]);
  });
  it("keeps a completion's start and a prompt's end", () => {
    const record = pairRecord({ prompt: `x${'p'.repeat(80)}`, chosen: 'abcdefgh' });
    const [pair] = prepare({ train: [record] }, dapt(), { completionTokens: 4, totalTokens: 10 }).train;
    expect(byteTokenizer.decode(pair?.chosen?.ids ?? [])).toBe('ppppppabcd');
    const [paper] = prepare({ train: [record] }, dapt(), { preset: 'paper', completionTokens: 4, totalTokens: 10 }).train;
    expect(byteTokenizer.decode(paper?.chosen?.ids ?? [])).toBe('xpppppabcd');
    expect([...(paper?.chosen?.mask ?? [])]).toEqual([0, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
  });
  it('leaves out and counts what cannot teach', () => {
    const train = [
      pairRecord({ prompt: 'a', chosen: '', rejected: 'b' }),
      pairRecord({ prompt: 'a', chosen: 'same', rejected: 'same' }),
      pairRecord({ prompt: 'a', chosen: 'b', rejected: '' }),
      pairRecord({ prompt: 'a', chosen: 'b', rejected: 'c' }),
    ];
    const prepared = prepare({ train }, dpo());
    expect(prepared.train).toHaveLength(1);
    expect(prepared.train[0]?.index).toBe(3);
    expect(prepared.leftOut).toEqual({ emptyChosen: 1, emptyRejected: 1, chosenEqualsRejected: 1 });
    expect(prepare({ train }, irepair()).leftOut.chosenEqualsRejected).toBe(0);
    expect(prepare({ train }, dapt()).train).toHaveLength(3);
  });
  it('lists all mistakes in one error', () => {
    const train = [
      pairRecord({ prompt: 'a', chosen: 'b' }),
      pairRecord({ promptIds: [1], chosenIds: [300], rejectedIds: [2] }),
      ...pairRecords(2),
    ];
    let problems: readonly string[] = [];
    try {
      prepare({ train }, irepair({ kl: {} }));
    } catch (error) {
      problems = (error as { problems: readonly string[] }).problems;
      expect((error as { code: string }).code).toBe('invalid-data');
    }
    expect(problems).toHaveLength(3);
    expect(problems.join('\n')).toMatch(/rejected text[\s\S]*vocabulary of 257[\s\S]*normal texts/);
  });
  it('rejects a training set of which nothing is left', () => {
    expect(() => prepare({ train: [] }, dapt())).toThrowError(/no usable training record/);
  });
  it('holds back the last normal texts', () => {
    const normal = Array.from({ length: 200 }, (_, i) => `text ${i}`);
    const prepared = prepare({ train: pairRecords(2), normal }, dapt({ kl: {} }));
    expect([prepared.normal.length, prepared.normalValidation.length]).toEqual([136, 64]);
    expect(byteTokenizer.decode(prepared.normalValidation[0]?.ids ?? [])).toBe('text 136');
    const few = prepare({ train: pairRecords(2), normal: normal.slice(0, 20) }, dapt({ kl: {} }));
    expect([few.normal.length, few.normalValidation.length]).toEqual([15, 5]);
  });
});

describe('packSide', () => {
  it('shifts positions by the pads of the paper preset', () => {
    const pairs = prepare({ train: [pairRecord({ prompt: 'abc', chosen: 'x' }), pairRecord({ prompt: 'a', chosen: 'yz' })] }, dapt()).train;
    expect([...(packSide(pairs, 'chosen', true, 64).positions ?? [])]).toEqual([0, 1, 2, 3, 2, 3, 4]);
    expect(packSide(pairs, 'chosen', false, 64).positions).toBeUndefined();
  });
});
