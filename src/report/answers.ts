import { type CellResult, formatPercent } from '../study/cell-result.ts';
import { type CellGroup, groupCells, stat, statOf } from './groups.ts';
import { sentenceMarkup } from './markup.ts';
import { formatMeasure, type Measure, measuresOf } from './measures.ts';
import { secondsText } from './seconds-text.ts';
import { unique } from './section.ts';
import type { Sentence, SummaryPart } from './summary.ts';

export type Question = 1 | 2 | 3 | 4;

/** What the results of one model say about a research question, with the numbers that say so; nothing where it was not studied. */
export function answer(results: readonly CellResult[], question: Question, model: string): Sentence[] {
  const measures = measuresOf(results);
  const quality = measures.find((m) => m.id === 'ops') ?? measures.find((m) => m.id.startsWith('toxicity.'));
  if (!quality) return [];
  const groups = groupCells(results).filter((g) => g.model === model && statOf(g, quality));
  return ANSWERS[question](groups, quality, measures);
}

/** As a paragraph, or nothing. */
export function answerMarkup(results: readonly CellResult[], question: Question, model: string): string {
  const sentences = answer(results, question, model);
  if (sentences.length === 0) return '';
  // one for each repair, say, is a list
  if (sentences.length > 2) return `<ul class="lead answer">${sentences.map((s) => `<li>${sentenceMarkup(s)}</li>`).join('')}</ul>`;
  return `<p class="answer">${sentences.map(sentenceMarkup).join(' ')}</p>`;
}

type Answer = (groups: readonly CellGroup[], quality: Measure, measures: readonly Measure[]) => Sentence[];

const value = (measure: Measure, number: number): SummaryPart => ({ value: number, text: formatMeasure(measure, number) });
const plain = (number: number, text: string): SummaryPart => ({ value: number, text });
const mean = (g: CellGroup, m: Measure) => (statOf(g, m) as { mean: number }).mean;
const isPlain = (g: CellGroup) => g.boundaryRatio === null || g.boundaryRatio === 1;

/** Positive where `a` is the better one. */
function gain(measure: Measure, a: number, b: number): number {
  return measure.better === 'lower' ? b - a : a - b;
}

function best(groups: readonly CellGroup[], m: Measure): CellGroup {
  return groups.reduce((top, g) => (gain(m, mean(g, m), mean(top, m)) > 0 ? g : top));
}

/** The spread over seeds of a group, or over all groups that have several. */
function noise(groups: readonly CellGroup[], m: Measure): number | null {
  const sds = groups.map((g) => statOf(g, m)?.sd ?? null).filter((sd) => sd !== null);
  return sds.length === 0 ? null : Math.sqrt(sds.reduce((sum, sd) => sum + sd * sd, 0) / sds.length);
}

const ANSWERS: Readonly<Record<Question, Answer>> = {
  1: (groups, m) => {
    const subsets = groups.filter((g) => g.kind === 'subset' && isPlain(g));
    const repairs = unique(subsets.map((g) => g.repair));
    if (unique(subsets.map((g) => g.selector)).length < 2) return [];
    const winners = repairs.map((repair) =>
      best(
        subsets.filter((g) => g.repair === repair),
        m,
      ),
    );
    const sentences: Sentence[] = [
      [
        `Best selector by ${m.title}: `,
        ...winners.flatMap((g, i): SummaryPart[] => [`${i === 0 ? '' : ', '}${g.selector} with ${g.repair} (`, value(m, mean(g, m)), ')']),
        '.',
      ],
    ];
    const bySelector = ranges(subsets, m, (g) => g.repair + g.proportion);
    const byRepair = ranges(subsets, m, (g) => g.selector + g.proportion);
    const sd = noise(subsets, m);
    if (bySelector !== null && byRepair !== null)
      sentences.push([
        `Within one repair the selectors lie ${m.title} `,
        value(m, bySelector),
        ' apart on average, within one selector the repairs ',
        value(m, byRepair),
        ...(sd === null
          ? []
          : [
              '; the spread over seeds is ',
              value(m, sd),
              bySelector < 2 * sd ? ', so most differences between selectors are within the noise' : '',
            ]),
        '.',
      ]);
    return sentences;
  },
  2: (groups, m, measures) => {
    const cost = measures.find((c) => c.id === 'selectionSeconds');
    const subsets = groups.filter((g) => g.kind === 'subset' && isPlain(g));
    if (!cost || unique(subsets.map((g) => g.selector)).length < 2) return [];
    const selectors = unique(subsets.map((g) => g.selector)).map((selector) => {
      const own = subsets.filter((g) => g.selector === selector);
      const average = (f: (g: CellGroup) => number) => own.reduce((sum, g) => sum + f(g), 0) / own.length;
      return { selector, quality: average((g) => mean(g, m)), seconds: average((g) => statOf(g, cost)?.mean ?? 0) };
    });
    const top = selectors.reduce((a, b) => (gain(m, b.quality, a.quality) > 0 ? b : a));
    const cheap = selectors.reduce((a, b) => (b.seconds < a.seconds ? b : a));
    const repairSeconds = stat(subsets.flatMap((g) => g.cells.map((c) => c.repairRun?.seconds ?? 0)))?.mean ?? 0;
    const share = top.seconds / (top.seconds + repairSeconds);
    return [
      [
        `Over all repairs ${top.selector} is best (${m.title} `,
        value(m, top.quality),
        ') and takes ',
        plain(top.seconds, secondsText(top.seconds)),
        ' to select, ',
        plain(share, `${(100 * share).toFixed(0)} %`),
        ` of selection and mean repair together; the cheapest, ${cheap.selector}, reaches `,
        value(m, cheap.quality),
        ' in ',
        plain(cheap.seconds, secondsText(cheap.seconds)),
        '.',
      ],
    ];
  },
  3: (groups, m) => {
    const sentences: Sentence[] = [];
    const subsets = groups.filter((g) => g.kind === 'subset' && isPlain(g));
    for (const repair of unique(subsets.map((g) => g.repair))) {
      const full = groups.find((g) => g.kind === 'full' && g.repair === repair);
      if (!full) continue;
      for (const selector of unique(subsets.map((g) => g.selector))) {
        const own = subsets.filter((g) => g.repair === repair && g.selector === selector).sort((a, b) => a.proportion - b.proportion);
        if (own.length < 3) continue;
        const sd = noise([...own, full], m) ?? 0;
        const enough = own.find((g) => gain(m, mean(g, m), mean(full, m)) >= -Math.max(sd, Math.abs(mean(full, m)) * 0.02));
        sentences.push([
          `${repair} with ${selector}: `,
          ...(enough
            ? [`${formatPercent(enough.proportion)} of the data is enough (${m.title} `, value(m, mean(enough, m)), ' against ']
            : [`no share comes near all the data (best ${m.title} `, value(m, mean(best(own, m), m)), ' against ']),
          value(m, mean(full, m)),
          ' on all of it; "enough" allows ',
          ...(sd > Math.abs(mean(full, m)) * 0.02 ? ['one standard deviation over seeds'] : ['2 %']),
          ').',
        ]);
      }
    }
    return sentences;
  },
  4: (groups, m) => {
    const mixed = groups.filter((g) => g.kind === 'subset' && g.boundaryRatio !== null);
    if (unique(mixed.map((g) => g.boundaryRatio)).length < 3) return [];
    return unique(mixed.map((g) => g.repair)).map((repair) => {
      const own = mixed.filter((g) => g.repair === repair);
      const top = best(own, m);
      const values = own.map((g) => mean(g, m));
      const range = Math.max(...values) - Math.min(...values);
      const sd = noise(own, m);
      return [
        `${repair} does best at boundary ratio ${top.boundaryRatio} (${m.title} `,
        value(m, mean(top, m)),
        '); over all ratios it moves by ',
        value(m, range),
        ...(sd === null ? [] : ['; the spread over seeds is ', value(m, sd)]),
        '.',
      ];
    });
  },
};

/** Mean over the groups of one key of the distance between best and worst. */
function ranges(groups: readonly CellGroup[], m: Measure, key: (g: CellGroup) => string): number | null {
  const spans = unique(groups.map(key)).flatMap((k) => {
    const values = groups.filter((g) => key(g) === k).map((g) => mean(g, m));
    return values.length < 2 ? [] : [Math.max(...values) - Math.min(...values)];
  });
  return spans.length === 0 ? null : spans.reduce((a, b) => a + b, 0) / spans.length;
}
