import type { Stat } from './groups.ts';
import { formatMeasure, formatNumber, type Measure } from './measures.ts';
import { secondsText } from './seconds-text.ts';
import type { Sentence } from './summary.ts';

/** Text made safe for HTML and SVG, inside elements and quoted attributes. */
export function escapeMarkup(text: string): string {
  return text.replace(/[&<>"']/g, (c) => ENTITIES[c] as string);
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** A displayed number with its exact value beside it: `<data value="0.046812">4.68</data>`. */
export function dataMarkup(value: number, text: string): string {
  return `<data value="${value}">${escapeMarkup(text)}</data>`;
}

export function measureMarkup(measure: Measure, value: number | null): string {
  return value === null ? '<span class="none">–</span>' : dataMarkup(value, formatMeasure(measure, value));
}

/** Mean with ± sd over seeds, or with the bootstrap interval of a single seed. */
export function statMarkup(measure: Measure, stat: Stat | null, interval: readonly [number, number] | null): string {
  if (stat === null) return measureMarkup(measure, null);
  const mean = measureMarkup(measure, stat.mean);
  if (stat.sd !== null) return `${mean} <small>± ${measureMarkup(measure, stat.sd)}</small>`;
  if (interval) return `${mean} <small>${measureMarkup(measure, interval[0])}–${measureMarkup(measure, interval[1])}</small>`;
  return mean;
}

export function sentenceMarkup(sentence: Sentence): string {
  return sentence.map((p) => (typeof p === 'string' ? escapeMarkup(p) : dataMarkup(p.value, p.text))).join('');
}

export function secondsMarkup(seconds: number): string {
  return dataMarkup(seconds, seconds < 0.0995 ? secondsText(seconds) : `${formatNumber(seconds, seconds < 10 ? 2 : 1)} s`);
}

/** A region that scrolls sideways on narrow screens and can be reached by keyboard. */
export function scrollRegion(label: string, content: string): string {
  return `<div class="scroll" tabindex="0" role="region" aria-label="${escapeMarkup(label)}">${content}</div>`;
}
