import type { Matrix } from '../core/matrix.ts';
import type { RunOptions } from '../core/run-options.ts';
import { Turns } from '../core/turns.ts';
import { defineSelector, requireInteger, requireOneOf, type Timed } from './define-selector.ts';
import { engineReport, JAVASCRIPT } from './engine.ts';
import { meanRow } from './neighbours.ts';
import { pca } from './pca.ts';
import { pcaWork, productPerPickWork, rowsWork } from './phase-work.ts';
import type { PhaseWork, Preset, SelectOptions, Selector } from './selector.ts';
import { SPACES, type Space, spaceBytes } from './space.ts';

/** `inner-product`: Welling's argmax of <w, x>. `nearest`: the record nearest to w, which is the same for rows of one length. */
export type HerdingRule = 'inner-product' | 'nearest';

export interface HerdingOptions {
  readonly preset?: Preset | undefined;
  /** default `inner-product` */
  readonly rule?: HerdingRule | undefined;
  /** where moments are matched; default `raw`. Every pick costs a product of w with the whole matrix: `pca` makes it narrow */
  readonly space?: Space | undefined;
  /** of the PCA space; default 50 */
  readonly components?: number | undefined;
}

/**
 * Herding (Welling, ICML 2009, eqs. 4 and 5): w starts at the mean of all records; each pick maximises <w, x> and moves w by the mean
 * minus the pick, so that the mean of the chosen follows the mean of all. Without replacement, fp64, ties to the lowest index.
 *
 * `paper`: DeepCore's `Herding`, whose argmax takes the record *farthest* from w instead of the nearest.
 * @throws MendsetError `invalid-argument` for an option out of its range, at once
 * @example const { indices } = await selectIndices(herding({ space: 'pca' }), { n, budget: { count: 100 }, features: { embeddings } });
 */
export function herding(options: HerdingOptions = {}): Selector<'embeddings'> {
  const { preset = 'principled', rule = 'inner-product', space = 'raw', components = 50 } = options;
  requireOneOf('rule', rule, ['inner-product', 'nearest']);
  requireOneOf('space', space, SPACES);
  requireInteger('components', components, 1);
  const paper = preset === 'paper';
  return defineSelector<'embeddings'>({
    name: 'herding',
    preset,
    needs: ['embeddings'],
    parameters: { ...(paper ? {} : { rule }), space, ...(space === 'pca' ? { components } : {}) },
    workBytes: (n, d) => 24 * n + spaceBytes(n, d, { space, components }),
    async choose({ n, budget, features: { embeddings } }, run, timed) {
      const { points, start, drift, work } = await moments(embeddings, run, timed);
      const indices = await timed('choosing', () => herd(points, start, drift, budget, paper ? 'farthest' : rule, run));
      const engine = space === 'pca' ? engineReport(run) : JAVASCRIPT;
      return { indices, engine, work: { ...work, choosing: productPerPickWork(n, points.columns, budget) } };
    },
  });

  async function moments(embeddings: Matrix, run: SelectOptions, timed: Timed): Promise<Moments> {
    if (space === 'raw') {
      const mean = await timed('mean', () => meanRow(embeddings, new Turns('herding', run)));
      return { points: embeddings, start: mean, drift: mean, work: { mean: rowsWork(embeddings.rows, embeddings.columns, 1) } };
    }
    const { projected, mean, directions } = await timed('reduction', () => pca(embeddings, { ...run, components }));
    // Projected rows are centred. An inner product needs the mean's own projection, which then only moves the start of w.
    const r = projected.columns;
    const d = embeddings.columns;
    const start = new Float64Array(r);
    if (rule === 'inner-product' && !paper)
      for (let j = 0; j < r; j++)
        for (let p = 0; p < d; p++) start[j] = (start[j] as number) + (directions.data[j * d + p] as number) * (mean[p] as number);
    return { points: projected, start, drift: new Float64Array(r), work: { reduction: pcaWork(embeddings.rows, d, r) } };
  }
}

interface Moments {
  readonly points: Matrix;
  /** w before the first pick */
  readonly start: Float64Array;
  /** what each pick adds to w beside minus the record */
  readonly drift: Float64Array;
  readonly work: Readonly<Record<string, PhaseWork>>;
}

/** Rows between two looks at the clock. */
const TURN_ROWS = 256;

async function herd(
  x: Matrix,
  start: Float64Array,
  drift: Float64Array,
  budget: number,
  rule: HerdingRule | 'farthest',
  run: RunOptions,
): Promise<Int32Array> {
  const { data, rows: n, columns: d } = x;
  const w = start.slice();
  const taken = new Uint8Array(n);
  // |x|^2 / 2 turns an inner product into an order by distance: |w - x|^2 = |w|^2 - 2 (<w, x> - |x|^2 / 2).
  const half = new Float64Array(rule === 'inner-product' ? 0 : n);
  const turns = new Turns('herding', run);
  for (let i = 0; i < half.length; i++) {
    if (i % TURN_ROWS === 0 && turns.due()) await turns.take(0, budget);
    half[i] = dot(data, i * d, data, i * d, d) / 2;
  }
  const order = new Int32Array(budget);
  for (let t = 0; t < budget; t++) {
    let best = -1;
    let highest = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < n; i++) {
      if (i % TURN_ROWS === 0 && turns.due()) await turns.take(t, budget);
      if (taken[i] === 1) continue;
      let value = dot(w, 0, data, i * d, d);
      if (rule === 'nearest') value -= half[i] as number;
      else if (rule === 'farthest') value = (half[i] as number) - value;
      if (value > highest || best < 0) {
        highest = value;
        best = i;
      }
    }
    order[t] = best;
    taken[best] = 1;
    for (let p = 0; p < d; p++) w[p] = (w[p] as number) + (drift[p] as number) - (data[best * d + p] as number);
  }
  return order;
}

/** Inner product in fp64, four sums side by side: ((s0 + s1) + (s2 + s3)), the last columns in s0. */
function dot(a: Float32Array | Float64Array, atA: number, b: Float32Array, atB: number, d: number): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let p = 0;
  for (; p + 3 < d; p += 4) {
    s0 += (a[atA + p] as number) * (b[atB + p] as number);
    s1 += (a[atA + p + 1] as number) * (b[atB + p + 1] as number);
    s2 += (a[atA + p + 2] as number) * (b[atB + p + 2] as number);
    s3 += (a[atA + p + 3] as number) * (b[atB + p + 3] as number);
  }
  for (; p < d; p++) s0 += (a[atA + p] as number) * (b[atB + p] as number);
  return s0 + s1 + (s2 + s3);
}
