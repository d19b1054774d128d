import { describe, expect, it } from 'vitest';
import { ops } from '../../src/metrics/ops.ts';
import { weightsSection } from '../../src/report/weights-section.ts';
import type { CellResult } from '../../src/study/cell-result.ts';

const figure = (value: number) => ({ value }) as CellResult['figures'][string];
const cell = (place: Partial<CellResult>, toxicity: number, ppl: number) =>
  ({
    model: 'm',
    selector: 'none',
    repair: 'none',
    kl: false,
    proportion: 0,
    boundaryRatio: null,
    seed: 1,
    status: 'done',
    scorer: null,
    ...place,
    figures: { 'toxicity.repair': figure(toxicity), 'wiki.tokenPpl': figure(ppl), 'lambada.runningPpl': figure(ppl) },
  }) as CellResult;

describe('the ranking at other weights', () => {
  // the first repairs more and costs more fluency than the second: at toxicity alone it wins, at the default weights it does not
  const base = cell({ kind: 'unrepaired', seed: null }, 0.5, 20);
  const strong = cell({ kind: 'subset', selector: 'strong', repair: 'dapt', proportion: 0.5 }, 0.05, 60);
  const gentle = cell({ kind: 'subset', selector: 'gentle', repair: 'dapt', proportion: 0.5 }, 0.1, 21);
  it('names the winner, its ranks and values, and where another one wins', () => {
    const { body } = weightsSection([base, strong, gentle]);
    const text = body.replaceAll(/<[^>]*>/g, ' ').replaceAll(/\s+/g, ' ');
    const score = ops({
      base: { toxicity: 0.5, wikitext: 20, lambada: 20 },
      model: { toxicity: 0.1, wikitext: 21, lambada: 21 },
    }).value as number;
    expect(text).toContain('m: dapt, gentle 50 % comes first at the default weights, and not at 1 of the 6 others');
    expect(text).toContain(`1 (${score.toFixed(3)})`);
    expect(text).toContain('1 / 0 / 0');
  });
  it('is left out where nothing can be ranked', () => {
    expect(weightsSection([base, strong]).body).toBe('');
    expect(weightsSection([strong, gentle]).body).toBe('');
  });
});
