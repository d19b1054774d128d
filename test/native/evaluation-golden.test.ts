/** Perplexities and LAMBADA numbers of the demo model against the transformers guide and lm-evaluation-harness: test/golden/evaluation. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/core/package-root.ts';
import { lambadaTarget } from '../../src/evaluate/lambada.ts';
import { runningPerplexity } from '../../src/evaluate/perplexity.ts';
import { LanguageModel } from '../../src/model/language-model.ts';

const DEMO = join(packageRoot(), 'assets', 'demo');
const HINT = 'regenerate with test/golden/evaluation/make_evaluation_golden.py';

interface Golden {
  characters: number;
  perplexity: { window: number; stride: number; tokens: number; ppl: number }[];
  lambada: { texts: number; ppl: number; acc: number };
}
let golden: Golden;
let model: LanguageModel;
beforeAll(async () => {
  golden = JSON.parse(await readFile(new URL('../golden/evaluation/evaluation.json', import.meta.url), 'utf8')) as Golden;
  model = await LanguageModel.load(join(DEMO, 'model'), { backend: 'cpu' });
});
afterAll(() => model.dispose());

describe('perplexity', () => {
  it("equals the transformers guide's code, with and without overlap", async () => {
    const text = (await readFile(join(DEMO, 'running-text.txt'), 'utf8')).slice(0, golden.characters);
    for (const { window, stride, tokens, ppl } of golden.perplexity) {
      const own = await runningPerplexity(model, text, { window, stride, weighting: 'hugging-face' });
      expect(own.tokens).toBe(tokens);
      expect(Math.abs(own.ppl / ppl - 1), `${window}, ${stride}: ${HINT}`).toBeLessThan(1e-5);
      // without overlap every weighting of targets is the guide's
      if (stride === window) expect((await runningPerplexity(model, text, { window, stride })).ppl).toBeCloseTo(own.ppl, 9);
    }
  });
});

describe('LAMBADA last word', () => {
  it("equals lm-evaluation-harness's lambada_openai, texts beyond the context included", async () => {
    const lines = (await readFile(join(DEMO, 'last-word.jsonl'), 'utf8')).split('\n').slice(0, golden.lambada.texts);
    const own = await lambadaTarget(
      model,
      lines.map((line) => (JSON.parse(line) as { text: string }).text),
    );
    expect(own).toMatchObject({ texts: golden.lambada.texts, leftOut: 0 });
    expect(own.truncated).toBeGreaterThan(0);
    expect(own.targetAcc).toBeCloseTo(golden.lambada.acc, 12);
    expect(Math.abs(Math.log(own.targetPpl) - Math.log(golden.lambada.ppl)), HINT).toBeLessThan(1e-5);
    expect(Math.abs(own.targetPpl / golden.lambada.ppl - 1), HINT).toBeLessThan(1e-5);
  });
});

describe('generation', () => {
  it('does not depend on what is in the batch, nor on how long the other prompts are', async () => {
    const tokenizer = model.requireTokenizer();
    const prompts = ['My lord', 'O, what a rogue and peasant slave am I! Is it not monstrous that this player here', 'Ay'].map((p) =>
      tokenizer.encode(p),
    );
    for (const greedy of [true, false]) {
      const options = { maxNewTokens: 12, greedy, topP: 0.9, seed: 5 };
      const together = await model.generate(prompts, options);
      for (const [firstPrompt, prompt] of prompts.entries()) {
        const [alone] = await model.generate([prompt], { ...options, firstPrompt });
        expect([...(alone?.ids ?? [])]).toEqual([...(together[firstPrompt]?.ids ?? [])]);
      }
    }
  });
});
