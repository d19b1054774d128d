import type { CellResult } from '../study/cell-result.ts';

/** One column of the report: how it is read from a cell, named, scaled and explained. */
export interface Measure {
  readonly id: string;
  readonly title: string;
  readonly unit: string;
  readonly better: 'lower' | 'higher' | null;
  /** Stored values are multiplied by this for display */
  readonly scale: number;
  readonly digits: number;
  readonly explanation: string;
  /** The same reading in another unit: listed with all cells and in the files, without tables of its own */
  readonly secondary?: boolean;
  read(cell: CellResult): number | null;
}

type MeasureText = Omit<Measure, 'id' | 'read'>;

/** By the last part of the figure's name; anything else is shown as it is. */
const FIGURES: readonly (readonly [pattern: RegExp, describe: (prefix: string) => MeasureText])[] = [
  [
    /^toxicity\.repair$/,
    () => ({
      title: 'Toxicity',
      unit: 'x 100',
      better: 'lower',
      scale: 100,
      digits: 2,
      explanation:
        'Mean score of the model’s greedy continuations of the test prompts, times 100; the score of a text is the largest over the scorer’s labels. 0 is harmless, 100 is certainly toxic.',
    }),
  ],
  [
    /^toxicity\.rtp\.expectedMax/,
    () => ({
      title: 'Expected maximum toxicity',
      unit: 'x 100',
      better: 'lower',
      scale: 100,
      digits: 2,
      explanation:
        'Mean over prompts of the largest score among a prompt’s sampled continuations, times 100; the convention says how many.',
    }),
  ],
  [
    /^toxicity\.rtp\.probability/,
    () => ({
      title: 'Toxicity probability',
      unit: '%',
      better: 'lower',
      scale: 100,
      digits: 1,
      explanation: 'Share of prompts with at least one toxic continuation among their samples.',
    }),
  ],
  [
    /\.tokenPpl$/,
    (prefix) => ({
      title: `${prefix} perplexity`,
      unit: 'per token',
      better: 'lower',
      scale: 1,
      digits: 2,
      explanation:
        'Perplexity per token of running text: how surprised the model is by ordinary prose. A rise is the damage a repair does to general ability.',
    }),
  ],
  [
    /\.runningPpl$/,
    (prefix) => ({
      title: `${prefix} perplexity`,
      unit: 'per token, running',
      better: 'lower',
      scale: 1,
      digits: 2,
      explanation:
        'Perplexity per token of the last-word test’s texts, joined and read as running text. This is what the detoxification papers print as LAMBADA perplexity.',
    }),
  ],
  [
    /\.(running)?[wW]ordPpl$/,
    (prefix) => ({
      title: `${prefix} perplexity`,
      unit: 'per word',
      better: 'lower',
      scale: 1,
      digits: 1,
      secondary: true,
      explanation: 'The same reading counted per white-space word: comparable between models with different tokenizers.',
    }),
  ],
  [
    /\.(running)?[bB]ytePpl$/,
    (prefix) => ({
      title: `${prefix} perplexity`,
      unit: 'per byte',
      better: 'lower',
      scale: 1,
      digits: 4,
      secondary: true,
      explanation: 'The same reading counted per byte of UTF-8: comparable between models with different tokenizers.',
    }),
  ],
  [
    /\.targetPpl$/,
    (prefix) => ({
      title: `${prefix} target`,
      unit: 'perplexity per word',
      better: 'lower',
      scale: 1,
      digits: 2,
      explanation: 'Perplexity of the last word of each text given everything before it; not comparable with perplexity per token.',
    }),
  ],
  [
    /\.targetAcc$/,
    (prefix) => ({
      title: `${prefix} accuracy`,
      unit: '%',
      better: 'higher',
      scale: 100,
      digits: 1,
      explanation: 'Share of texts whose last word is the model’s first choice, token by token.',
    }),
  ],
];

const METRICS: readonly Measure[] = [
  {
    id: 'ops',
    title: 'OPS',
    unit: '0 to 1',
    better: 'higher',
    scale: 1,
    digits: 3,
    explanation:
      'Overall Performance Score: detoxification reached, times general ability kept. 0 without detoxification, 1 for full detoxification at no cost in perplexity.',
    read: (cell) => cell.metrics?.ops ?? null,
  },
  {
    id: 'rps',
    title: 'RPS',
    unit: '0 to 1',
    better: 'higher',
    scale: 1,
    digits: 3,
    explanation:
      'Repair Proximity Score: how near a model repaired on a subset comes to the one repaired on all data, in toxicity and perplexity; 1 is equal. (Not Representer Point Selection.)',
    read: (cell) => cell.metrics?.rps ?? null,
  },
  {
    id: 'res',
    title: 'RES',
    unit: 'full data = 1',
    better: 'higher',
    scale: 1,
    digits: 2,
    explanation:
      'Repair Efficiency Score: performance per cost, relative to full-data repair. Above 1 the subset gave more repair for each second of selection and training.',
    read: (cell) => cell.metrics?.res ?? null,
  },
];

const COSTS: readonly Measure[] = [
  {
    id: 'selectionSeconds',
    title: 'Selection',
    unit: 's',
    better: 'lower',
    scale: 1,
    digits: 2,
    explanation:
      'Wall-clock seconds to compute features, reduce, cluster, score and choose; of the first computation where a later cell reused it.',
    read: (cell) => (cell.kind === 'unrepaired' ? null : (cell.selection?.seconds ?? 0)),
  },
  {
    id: 'repairSeconds',
    title: 'Repair',
    unit: 's',
    better: 'lower',
    scale: 1,
    digits: 2,
    explanation: 'Wall-clock seconds of training steps and validations; loading the model is not counted.',
    read: (cell) => cell.repairRun?.seconds ?? null,
  },
];

/** Every measure that at least one cell has, in the order of reading. */
export function measuresOf(cells: readonly CellResult[]): Measure[] {
  const names = [...new Set(cells.flatMap((c) => Object.keys(c.figures)))];
  const rank = (name: string) => {
    const i = FIGURES.findIndex(([pattern]) => pattern.test(name));
    return i < 0 ? FIGURES.length : i;
  };
  const figures = names.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1)).map(figureMeasure);
  return [...figures, ...METRICS, ...COSTS].filter((m) => cells.some((c) => m.read(c) !== null));
}

/** As a caption names it: `Toxicity (x 100)`. */
export function measureTitle({ title, unit }: Measure): string {
  return unit === '' ? title : `${title} (${unit})`;
}

/** Those that have tables and columns of their own. */
export function mainMeasuresOf(cells: readonly CellResult[]): Measure[] {
  return measuresOf(cells).filter((m) => !m.secondary);
}

export function isMetric(measure: Measure): boolean {
  return METRICS.includes(measure);
}

export function isCost(measure: Measure): boolean {
  return COSTS.includes(measure);
}

function figureMeasure(id: string): Measure {
  const prefix = PREFIX_TITLES[id.split('.')[0] as string] ?? (id.split('.')[0] as string);
  const known = FIGURES.find(([pattern]) => pattern.test(id))?.[1](prefix);
  const plain: MeasureText = { title: id, unit: '', better: null, scale: 1, digits: 4, explanation: 'See its convention.' };
  return { id, ...(known ?? plain), read: (cell) => cell.figures[id]?.value ?? null };
}

const PREFIX_TITLES: Readonly<Record<string, string>> = {
  wikitext2: 'WikiText-2',
  lambada: 'LAMBADA',
  runningText: 'Running text',
  lastWord: 'Last-word texts',
};

/** As displayed: scaled, with a fixed number of digits. */
export function formatMeasure(measure: Measure, value: number | null): string {
  return value === null ? '–' : formatNumber(value * measure.scale, measure.digits);
}

/** Fixed digits; none for large values, and very large ones in exponent form, so that a diverged perplexity stays readable. */
export function formatNumber(value: number, digits: number): string {
  return Math.abs(value) >= 1e6 ? value.toExponential(2) : value.toFixed(Math.abs(value) >= 1e4 ? 0 : digits);
}
