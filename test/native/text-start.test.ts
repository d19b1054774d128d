// A tokenizer that puts a begin-of-text token before texts: every text that a language model reads begins with it, completions do not.
import { afterAll, describe, expect, it } from 'vitest';
import { lambadaTarget } from '../../src/evaluate/lambada.ts';
import { runningPerplexity } from '../../src/evaluate/perplexity.ts';
import { encodePrompts } from '../../src/evaluate/prompts.ts';
import { chosenSequences, embeddingSequences, goldSequences } from '../../src/features/record-sequences.ts';
import { LanguageModel } from '../../src/model/language-model.ts';
import { dpo } from '../../src/repair/dpo.ts';
import { resolveOptions } from '../../src/repair/options.ts';
import { prepareData } from '../../src/repair/repair-data.ts';
import { BEGIN, byteTokenizer, startingTokenizer, tinyConfig } from '../byte-tokenizer.ts';
import { pairRecord } from '../pair-records.ts';

const started = LanguageModel.create(tinyConfig(), { seed: 3, backend: 'cpu', tokenizer: startingTokenizer });
const plain = LanguageModel.create(tinyConfig(), { seed: 3, backend: 'cpu', tokenizer: byteTokenizer });
afterAll(() => {
  started.dispose();
  plain.dispose();
});
const bytes = (text: string) => [...byteTokenizer.encode(text)];

describe('a begin-of-text token of the tokenizer', () => {
  const record = pairRecord({ prompt: 'ab', chosen: 'cd', rejected: 'e', gold: 'fg' });

  it('begins prompts, and scored and embedded records', () => {
    expect([...(encodePrompts(started, ['ab', ''], 8)[0] as Int32Array)]).toEqual([BEGIN, ...bytes('ab')]);
    expect([...(encodePrompts(started, ['ab', ''], 8)[1] as Int32Array)]).toEqual([BEGIN]);
    const [scored] = chosenSequences(started, [record], false, 'completion');
    expect([...(scored?.ids ?? [])]).toEqual([BEGIN, ...bytes('abcd')]);
    expect([...(scored?.mask ?? [])]).toEqual([0, 0, 0, 1, 1]);
    const [gold] = goldSequences(started, [record]);
    expect([...(gold?.ids ?? [])]).toEqual([BEGIN, ...bytes('ab fg')]);
    expect([...(gold?.mask ?? [])]).toEqual([0, 0, 0, 1, 1, 1]);
    expect([...(embeddingSequences(started, [record], 'pair')[0]?.ids ?? [])]).toEqual([BEGIN, ...bytes('ab\ncd\ne')]);
  });

  it('begins both sides of a repair and its normal texts, and stands in for an empty prompt', () => {
    const options = resolveOptions(dpo({ kl: {} }), { batchSize: 1, keep: 'last' }, 64);
    const data = {
      train: [record, pairRecord({ prompt: '', chosen: 'x', rejected: 'y' })],
      validation: [],
      normal: ['one', 'two', 'three'],
      appendEos: true,
    };
    const { train, normal } = prepareData(started, data, dpo({ kl: {} }), options);
    expect([...(train[0]?.chosen?.ids ?? [])]).toEqual([BEGIN, ...bytes('abcd'), 256]);
    expect([...(train[0]?.rejected?.ids ?? [])]).toEqual([BEGIN, ...bytes('abe'), 256]);
    expect([...(train[1]?.chosen?.ids ?? [])]).toEqual([BEGIN, ...bytes('x'), 256]);
    expect(train[0]?.promptTokens).toBe(3);
    for (const { ids } of normal) expect(ids[0]).toBe(BEGIN);
  });

  it('gives the first token of running text a context, once', async () => {
    const text = 'The quick brown fox jumps over the lazy dog, and it does so again. '.repeat(3).slice(0, 119);
    const own = await runningPerplexity(started, text, { window: 40 });
    const given = await runningPerplexity(plain, [BEGIN, ...bytes(text)], { window: 40 });
    expect(own.nll).toBe(given.nll);
    expect(own).toMatchObject({ tokens: 119, scoredTokens: given.scoredTokens });
    expect(own.convention).toContain('begin-of-text');
    expect((await runningPerplexity(started, text, { window: 40, start: 'text' })).nll).toBe(own.nll);
    expect((await runningPerplexity(plain, text, { window: 40 })).convention).toContain('no start token');
  });

  it('stands before the context of a last word', async () => {
    const own = await lambadaTarget(started, ['one two three']);
    const ids = [BEGIN, ...bytes('one two three')];
    const [score] = await plain.score([{ ids: Int32Array.from(ids), mask: Uint8Array.from(ids, (_, i) => (i > 7 ? 1 : 0)) }]);
    expect(Math.log(own.targetPpl)).toBeCloseTo(-(score?.logProb ?? 0), 9);
    expect(own).toMatchObject({ targetTokens: 6 });
    expect(own.convention).toContain('begin-of-text');
  });
});
