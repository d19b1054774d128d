import { type CellResult, formatPercent } from '../study/cell-result.ts';
import { type CellGroup, groupCells, statOf } from './groups.ts';
import { formatMeasure, type Measure, measuresOf } from './measures.ts';

/** A piece of a sentence: words, or a number that can be recomputed from the results. */
export type SummaryPart = string | { readonly value: number; readonly text: string };
export type Sentence = readonly SummaryPart[];

/** What the results say, in a few sentences for each model; nothing that the numbers do not say. */
export function summarise(results: readonly CellResult[]): Sentence[] {
  const measures = measuresOf(results);
  const groups = groupCells(results);
  const failed = results.filter((c) => c.status === 'failed').length;
  const sentences: Sentence[] = [];
  for (const model of new Set(groups.map((g) => g.model)))
    sentences.push(
      ...modelSentences(
        groups.filter((g) => g.model === model),
        measures,
        model,
      ),
    );
  const seeds = new Set(results.map((c) => c.seed).filter((s) => s !== null)).size;
  if (seeds === 1)
    sentences.push([
      'One data seed was used: a difference smaller than the intervals shown is no evidence that one combination is better.',
    ]);
  if (failed > 0)
    sentences.push([
      part(failed, String(failed)),
      failed === 1 ? ' cell failed; its error is listed at the end.' : ' cells failed; their errors are listed at the end.',
    ]);
  return sentences;
}

function modelSentences(groups: readonly CellGroup[], measures: readonly Measure[], model: string): Sentence[] {
  const toxicity = measures.find((m) => m.id.startsWith('toxicity.'));
  const ops = measures.find((m) => m.id === 'ops');
  const res = measures.find((m) => m.id === 'res');
  const perplexity = measures.find((m) => m.id.endsWith('.tokenPpl')) ?? measures.find((m) => m.id.endsWith('.runningPpl'));
  const base = groups.find((g) => g.kind === 'unrepaired');
  const subsets = groups.filter((g) => g.kind === 'subset');
  const full = groups.filter((g) => g.kind === 'full');
  const sentences: Sentence[] = [];
  const show = (g: CellGroup | undefined, m: Measure | undefined): SummaryPart => {
    const value = g && m ? statOf(g, m) : null;
    return value && m ? part(value.mean, formatMeasure(m, value.mean)) : '–';
  };
  if (base && toxicity) {
    sentences.push([
      `${model}, unrepaired: toxicity `,
      show(base, toxicity),
      ...(perplexity ? [`, ${perplexity.title} `, show(base, perplexity)] : []),
      '.',
    ]);
  }
  const ranked = ops ?? toxicity;
  if (!ranked) return sentences;
  const best = (list: readonly CellGroup[]) => bestBy(list, ranked);
  const bestFull = best(full);
  if (bestFull) {
    sentences.push([
      `With all the data, ${bestFull.repair} does best by ${ranked.title}: toxicity `,
      show(bestFull, toxicity),
      ...(perplexity ? [`, ${perplexity.title} `, show(bestFull, perplexity)] : []),
      `, ${ranked.title} `,
      show(bestFull, ranked),
      '.',
    ]);
  }
  const bestSubset = best(subsets);
  if (bestSubset) {
    sentences.push([
      `On a subset the best combination by ${ranked.title} is ${bestSubset.selector} with ${bestSubset.repair} at ${formatPercent(bestSubset.proportion)}: toxicity `,
      show(bestSubset, toxicity),
      ...(perplexity ? [`, ${perplexity.title} `, show(bestSubset, perplexity)] : []),
      `, ${ranked.title} `,
      show(bestSubset, ranked),
      ...(res && statOf(bestSubset, res) ? [', RES ', show(bestSubset, res)] : []),
      '.',
    ]);
  }
  const selectors = [...new Set(subsets.map((g) => g.selector))];
  if (ops && selectors.length > 1) {
    const means = selectors
      .map((selector) => {
        const values = subsets.filter((g) => g.selector === selector).map((g) => statOf(g, ops)?.mean);
        return {
          selector,
          mean: values.some((v) => v === undefined) ? null : values.reduce((a: number, b) => a + (b as number), 0) / values.length,
        };
      })
      .filter((m): m is { selector: string; mean: number } => m.mean !== null)
      .sort((a, b) => b.mean - a.mean);
    if (means.length > 1)
      sentences.push([
        'Mean OPS over repairs, by selector: ',
        ...means.flatMap((m, i): SummaryPart[] => [`${i === 0 ? '' : ', '}${m.selector} `, part(m.mean, m.mean.toFixed(3))]),
        '.',
      ]);
  }
  return sentences;
}

export function bestBy(groups: readonly CellGroup[], measure: Measure): CellGroup | undefined {
  let best: CellGroup | undefined;
  let bestValue = Number.NaN;
  for (const g of groups) {
    const value = statOf(g, measure)?.mean;
    if (value === undefined) continue;
    if (best === undefined || (measure.better === 'lower' ? value < bestValue : value > bestValue)) {
      best = g;
      bestValue = value;
    }
  }
  return best;
}

function part(value: number, text: string): SummaryPart {
  return { value, text };
}

export function sentenceText(sentence: Sentence): string {
  return sentence.map((p) => (typeof p === 'string' ? p : p.text)).join('');
}
