import { escapeMarkup } from './markup.ts';
import { formatNumber } from './measures.ts';
import { secondsText } from './seconds-text.ts';

/** Small SVG charts: no script, colours from the page's custom properties `--c0` to `--c7`, a title and a description each. */

export interface ScatterPoint {
  readonly x: number;
  readonly y: number;
  /** Index of the colour (selector) and of the shape (repair) */
  readonly colour: number;
  readonly shape: number;
  readonly label: string;
}

export interface AxisText {
  readonly x: string;
  readonly y: string;
}

const WIDTH = 680;
const HEIGHT = 340;
const PLOT = { left: 64, right: 16, top: 14, bottom: 46 };

/** x is logarithmic, with everything up to `floor` drawn at the left edge; `front` is joined by a line of steps. */
export function scatterChart(
  id: string,
  title: string,
  description: string,
  axis: AxisText,
  points: readonly ScatterPoint[],
  floor: number,
  front: readonly ScatterPoint[] = [],
): string {
  const xs = points.map((p) => Math.log10(Math.max(p.x, floor)));
  const [x0, x1] = [Math.floor(Math.min(...xs)), Math.max(Math.ceil(Math.max(...xs)), Math.floor(Math.min(...xs)) + 1)];
  const y = linearScale(points.map((p) => p.y));
  const px = (value: number) => PLOT.left + ((value - x0) / (x1 - x0)) * (WIDTH - PLOT.left - PLOT.right - 12) + 6;
  const ticks = Array.from({ length: x1 - x0 + 1 }, (_, i) => ({ at: px(x0 + i), text: secondsText(10 ** (x0 + i)) }));
  const marks = points.map((p, i) => {
    const shape = SHAPES[p.shape % SHAPES.length] as (x: number, y: number) => string;
    return `<g class="mark" style="--k:var(--c${p.colour % 8})">${shape(px(xs[i] as number), y.at(p.y))}<title>${escapeMarkup(p.label)}</title></g>`;
  });
  const steps = front.map((p, i) => {
    const [x, at] = [px(Math.log10(Math.max(p.x, floor))).toFixed(1), y.at(p.y).toFixed(1)];
    return i === 0 ? `M${x} ${at}` : `H${x}V${at}`;
  });
  const line = steps.length > 1 ? `<path class="front" d="${steps.join('')}"/>` : '';
  return frame(id, title, description, HEIGHT, `${axes(axis, ticks, y)}${line}${marks.join('')}`);
}

export interface LineSeries {
  readonly label: string;
  readonly colour: number;
  readonly points: readonly { readonly x: number; readonly y: number; readonly sd: number | null; readonly label: string }[];
}

export function lineChart(
  id: string,
  title: string,
  description: string,
  axis: AxisText,
  series: readonly LineSeries[],
  xTick: (x: number) => string,
): string {
  const all = series.flatMap((s) => s.points);
  const xValues = [...new Set(all.map((p) => p.x))].sort((a, b) => a - b);
  const [x0, x1] = [xValues[0] ?? 0, xValues.at(-1) ?? 1];
  const px = (x: number) => PLOT.left + 10 + ((x - x0) / (x1 - x0 || 1)) * (WIDTH - PLOT.left - PLOT.right - 20);
  const y = linearScale(all.flatMap((p) => [p.y - (p.sd ?? 0), p.y + (p.sd ?? 0)]));
  const lines = series.map((s) => {
    const sorted = [...s.points].sort((a, b) => a.x - b.x);
    const path = sorted.map((p, i) => `${i === 0 ? 'M' : 'L'}${px(p.x).toFixed(1)} ${y.at(p.y).toFixed(1)}`).join('');
    const dots = sorted.map((p) => {
      const bar = p.sd === null ? '' : `<path d="M${px(p.x).toFixed(1)} ${y.at(p.y - p.sd).toFixed(1)}V${y.at(p.y + p.sd).toFixed(1)}"/>`;
      return `${bar}<g class="mark">${(SHAPES[s.colour % SHAPES.length] as (x: number, y: number) => string)(px(p.x), y.at(p.y))}<title>${escapeMarkup(p.label)}</title></g>`;
    });
    return `<g class="line" style="--k:var(--c${s.colour % 8})"><path d="${path}"/>${dots.join('')}</g>`;
  });
  return frame(
    id,
    title,
    description,
    HEIGHT,
    `${axes(
      axis,
      xValues.map((x) => ({ at: px(x), text: xTick(x) })),
      y,
    )}${lines.join('')}`,
  );
}

export interface StackedBar {
  readonly label: string;
  /** One length for each part, in the chart's unit */
  readonly parts: readonly number[];
  readonly total: string;
}

export function stackedBars(
  id: string,
  title: string,
  description: string,
  partNames: readonly string[],
  bars: readonly StackedBar[],
): string {
  const row = 22;
  const labelWidth = 210;
  const most = Math.max(...bars.map((b) => b.parts.reduce((x, y) => x + y, 0)), Number.MIN_VALUE);
  const width = WIDTH - labelWidth - 70;
  const rows = bars.map((bar, i) => {
    let x = labelWidth;
    const rects = bar.parts.map((value, part) => {
      const w = (value / most) * width;
      const rect = `<rect x="${x.toFixed(1)}" y="${i * row + 4}" width="${Math.max(w, 0).toFixed(1)}" height="${row - 8}" fill="var(--c${part})"><title>${escapeMarkup(`${bar.label}: ${partNames[part]} ${secondsText(value)}`)}</title></rect>`;
      x += w;
      return rect;
    });
    return `<text x="${labelWidth - 8}" y="${i * row + row / 2 + 4}" text-anchor="end">${escapeMarkup(bar.label)}</text>${rects.join('')}<text x="${(x + 6).toFixed(1)}" y="${i * row + row / 2 + 4}">${escapeMarkup(bar.total)}</text>`;
  });
  return frame(id, title, description, bars.length * row + 8, rows.join(''));
}

function frame(id: string, title: string, description: string, height: number, content: string): string {
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="${id}-t ${id}-d"><title id="${id}-t">${escapeMarkup(title)}</title><desc id="${id}-d">${escapeMarkup(description)}</desc>${content}</svg>`;
}

interface Scale {
  readonly ticks: readonly { readonly at: number; readonly text: string }[];
  at(value: number): number;
}

function linearScale(values: readonly number[]): Scale {
  const finite = values.filter(Number.isFinite);
  let low = Math.min(...finite);
  let high = Math.max(...finite);
  if (!(high > low)) {
    low -= Math.abs(low) * 0.1 || 0.5;
    high += Math.abs(high) * 0.1 || 0.5;
  }
  const raw = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 5, 10].find((m) => m * power >= raw) ?? 10) * power;
  const from = Math.floor(low / step) * step;
  const to = Math.ceil(high / step) * step;
  const bottom = HEIGHT - PLOT.bottom;
  const at = (value: number) => bottom - ((value - from) / (to - from)) * (bottom - PLOT.top);
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  const ticks = Array.from({ length: Math.round((to - from) / step) + 1 }, (_, i) => from + i * step).map((v) => ({
    at: at(v),
    text: formatNumber(v, digits),
  }));
  return { ticks, at };
}

function axes(axis: AxisText, xTicks: readonly { at: number; text: string }[], y: Scale): string {
  const bottom = HEIGHT - PLOT.bottom;
  const horizontal = y.ticks.map(
    (t) =>
      `<path class="grid" d="M${PLOT.left} ${t.at.toFixed(1)}H${WIDTH - PLOT.right}"/><text x="${PLOT.left - 8}" y="${(t.at + 4).toFixed(1)}" text-anchor="end">${t.text}</text>`,
  );
  const vertical = xTicks.map(
    (t) =>
      `<path class="grid" d="M${t.at.toFixed(1)} ${PLOT.top}V${bottom}"/><text x="${t.at.toFixed(1)}" y="${bottom + 18}" text-anchor="middle">${escapeMarkup(t.text)}</text>`,
  );
  return `<g class="axes">${horizontal.join('')}${vertical.join('')}<text x="${(PLOT.left + WIDTH - PLOT.right) / 2}" y="${HEIGHT - 6}" text-anchor="middle">${escapeMarkup(axis.x)}</text><text transform="translate(14 ${(PLOT.top + bottom) / 2}) rotate(-90)" text-anchor="middle">${escapeMarkup(axis.y)}</text></g>`;
}

const at = (x: number, y: number, d: string) => `<path transform="translate(${x.toFixed(1)} ${y.toFixed(1)})" d="${d}"/>`;

/** Circle, square, triangle, diamond, cross, inverted triangle: told apart without colour. */
const SHAPES: readonly ((x: number, y: number) => string)[] = [
  (x, y) => at(x, y, 'M-5 0A5 5 0 1 0 5 0A5 5 0 1 0 -5 0Z'),
  (x, y) => at(x, y, 'M-4.5 -4.5H4.5V4.5H-4.5Z'),
  (x, y) => at(x, y, 'M0 -6L5.5 4.5H-5.5Z'),
  (x, y) => at(x, y, 'M0 -6.2L6.2 0L0 6.2L-6.2 0Z'),
  (x, y) => at(x, y, 'M-2 -6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z'),
  (x, y) => at(x, y, 'M0 6L5.5 -4.5H-5.5Z'),
];

/** The same mark as in the chart, for a legend. */
export function legendMark(colour: number, shape: number): string {
  const draw = SHAPES[shape % SHAPES.length] as (x: number, y: number) => string;
  const k = colour < 0 ? 'currentColor' : `var(--c${colour % 8})`;
  return `<svg class="key" viewBox="-8 -8 16 16" aria-hidden="true"><g class="mark" style="--k:${k}">${draw(0, 0)}</g></svg>`;
}
