import type { RunOptions } from '../core/run-options.ts';
import { Turns } from '../core/turns.ts';
import { type Choice, defineSelector, requireInteger, requireNumber, requireOneOf } from './define-selector.ts';
import { DIFFICULTY_SCORES, type DifficultyScore, type FeatureOf, featureOf, hardSideOf } from './difficulty.ts';
import { engineReport } from './engine.ts';
import { MaxHeap } from './max-heap.ts';
import { type NearestNeighboursResult, nearestNeighbours } from './nearest-neighbours.ts';
import { messageWork, neighbourWork } from './phase-work.ts';
import { finiteIndices } from './rank.ts';
import type { FeatureTypes, Preset, SelectionInput, Selector } from './selector.ts';
import { SPACES, type Space, spaceBytes, spaceOf } from './space.ts';
import { neighbourBytes } from './work-bytes.ts';

export interface D2Options<S extends DifficultyScore = 'el2n'> {
  readonly preset?: Preset | undefined;
  /** difficulty; default `el2n` */
  readonly score?: S | undefined;
  /** which end is hard; default: low for margin and aum, high for the rest. Low scores s enter as max - s */
  readonly hard?: 'high' | 'low' | undefined;
  /** k of the graph; default 10, at most n - 1 */
  readonly neighbours?: number | undefined;
  /** gamma of the forward pass; default 1 */
  readonly forward?: number | undefined;
  /** gamma of the reverse pass; default 1 */
  readonly reverse?: number | undefined;
  /** where the graph is built; default `raw` */
  readonly space?: Space | undefined;
  /** of the PCA space; default 50 */
  readonly components?: number | undefined;
}

/**
 * D2 pruning (Maharana, Yadav and Bansal, ICLR 2024, section 3): difficulty s is spread over the directed graph of k nearest neighbours N,
 * u_i = s_i + sum over j in N(i) of exp(-forward d_ij^2) s_j (forward message passing); then the record with the largest u is taken and
 * u_j -= exp(-reverse d_kj^2) u_k for its neighbours j (reverse), until the budget is met. Ties to the lowest index. The paper leaves the
 * direction of edges open; they run from a record to its own neighbours here.
 *
 * `paper`: the published code in its graph mode `sum` and sampling mode `absolute`: exp(-d) instead of exp(-d^2) forward, and neighbours
 * lose all of u_k whatever their distance.
 * @throws MendsetError `invalid-argument` for an option out of its range, at once
 * @example
 * const { indices } = await selectIndices(d2({ score: 'given', neighbours: 5 }), { n, budget: { fraction: 0.3 }, features: { embeddings, scores } });
 */
export function d2<S extends DifficultyScore = 'el2n'>(options: D2Options<S> = {}): Selector<'embeddings' | FeatureOf<S>> {
  const preset = options.preset ?? 'principled';
  const score: DifficultyScore = options.score ?? 'el2n';
  const { hard = hardSideOf(score), neighbours = 10, forward = 1, reverse = 1, space = 'raw', components = 50 } = options;
  requireOneOf('score', score, DIFFICULTY_SCORES);
  requireOneOf('hard', hard, ['high', 'low']);
  requireInteger('neighbours', neighbours, 1);
  requireNumber('forward', forward, 0, Number.MAX_VALUE);
  requireNumber('reverse', reverse, 0, Number.MAX_VALUE);
  requireOneOf('space', space, SPACES);
  requireInteger('components', components, 1);
  const feature = featureOf(score) as FeatureOf<S>;
  const paper = preset === 'paper';
  return defineSelector<'embeddings' | FeatureOf<S>>({
    name: 'd2',
    preset,
    needs: ['embeddings', feature],
    parameters: {
      score,
      hard,
      neighbours,
      ...(paper ? {} : { forward, reverse }),
      space,
      ...(space === 'pca' ? { components } : {}),
    },
    workBytes: (n, d) => 40 * n + spaceBytes(n, d, { space, components }) + neighbourBytes(n, d, neighbours),
    async choose(input, run, timed): Promise<Choice> {
      const { n, budget } = input;
      const { embeddings } = (input as unknown as SelectionInput<'embeddings'>).features;
      const given = (input.features as unknown as FeatureTypes)[featureOf(score)];
      finiteIndices(given, 'error', `${score} score`);
      const difficulty = hard === 'high' ? given : fromTop(given);
      const { points, work, warnings } = await spaceOf(embeddings, { space, components }, run, timed);
      const k = Math.min(neighbours, n - 1);
      const graph = k === 0 ? NO_NEIGHBOURS : await timed('neighbours', () => nearestNeighbours(points, { ...run, k }));
      const spread = await timed('forward', () => passForward(difficulty, graph, paper ? null : forward, run));
      const indices = await timed('reverse', () => passReverse(spread, graph, budget, paper ? null : reverse, run));
      return {
        indices,
        scores: spread,
        engine: engineReport(run),
        work: {
          ...work,
          ...(k > 0 ? { neighbours: neighbourWork(n, points.columns, k) } : {}),
          forward: messageWork(n, k),
          reverse: messageWork(budget, k),
        },
        warnings,
      };
    },
  });
}

const NO_NEIGHBOURS: NearestNeighboursResult = { k: 0, indices: new Int32Array(0), distances: new Float32Array(0) };

function fromTop(scores: Float64Array): Float64Array {
  const top = scores.reduce((highest, score) => Math.max(highest, score), Number.NEGATIVE_INFINITY);
  return scores.map((score) => top - score);
}

/** u, in fp64, neighbours added from the nearest on. gamma null: exp(-d). */
async function passForward(
  difficulty: Float64Array,
  { k, indices, distances }: NearestNeighboursResult,
  gamma: number | null,
  run: RunOptions,
): Promise<Float64Array> {
  const n = difficulty.length;
  const spread = new Float64Array(n);
  const turns = new Turns('forward', run);
  for (let i = 0; i < n; i++) {
    if (i % 4096 === 0 && turns.due()) await turns.take(i, n);
    let sum = difficulty[i] as number;
    for (let at = i * k; at < (i + 1) * k; at++) {
      const distance = distances[at] as number;
      const weight = Math.exp(gamma === null ? -distance : -gamma * distance * distance);
      sum += weight * (difficulty[indices[at] as number] as number);
    }
    spread[i] = sum;
  }
  return spread;
}

/** Takes `budget` records, each from its neighbours. gamma null: neighbours lose the whole value. */
async function passReverse(
  spread: Float64Array,
  { k, indices, distances }: NearestNeighboursResult,
  budget: number,
  gamma: number | null,
  run: RunOptions,
): Promise<Int32Array> {
  const heap = new MaxHeap(spread);
  const chosen = new Int32Array(budget);
  const turns = new Turns('reverse', run);
  for (let t = 0; t < budget; t++) {
    if (t % 1024 === 0 && turns.due()) await turns.take(t, budget);
    const record = heap.pop();
    const value = heap.value(record);
    chosen[t] = record;
    for (let at = record * k; at < (record + 1) * k; at++) {
      const neighbour = indices[at] as number;
      const distance = distances[at] as number;
      const weight = gamma === null ? 1 : Math.exp(-gamma * distance * distance);
      heap.change(neighbour, heap.value(neighbour) - weight * value);
    }
  }
  return chosen;
}
