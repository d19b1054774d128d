import { RandomStream, STREAM_IDS } from '../core/random.ts';
import { Turns } from '../core/turns.ts';
import { clusterBytes, clusterEmbeddings } from './cluster-embeddings.ts';
import { type Choice, defineSelector, requireInteger, requireOneOf } from './define-selector.ts';
import { engineReport } from './engine.ts';
import { drawWork } from './phase-work.ts';
import type { Preset, SelectionInput, Selector } from './selector.ts';
import { shuffleInTurns } from './shuffle-in-turns.ts';
import { strataOfGroups } from './strata-of-groups.ts';
import { proportional, waterFill } from './water-fill.ts';

/** What the strata are: clusters of the embeddings, or the caller's own groups. */
export type StratifiedBy = 'cluster' | 'group';
export type StratifiedFeature<B extends StratifiedBy> = B extends 'group' ? 'groups' : 'embeddings';

export interface StratifiedOptions<B extends StratifiedBy = 'cluster'> {
  readonly preset?: Preset | undefined;
  /** default `cluster` */
  readonly by?: B | undefined;
  /** default `proportional` to the stratum's size; `waterfill`: as even as the sizes allow */
  readonly allocation?: 'proportional' | 'waterfill' | undefined;
  /** by cluster: default 10, at most n */
  readonly clusters?: number | undefined;
  /** by cluster: of the PCA space; default 50 */
  readonly components?: number | undefined;
  /** by cluster: k-means starts; default 4 */
  readonly restarts?: number | undefined;
}

/**
 * Stratified random choice: a uniform sample without replacement from every cluster or group, in proportion to its size (largest
 * remainders). Order: strata by ascending number, then draw order.
 *
 * `paper`: the ablation of arXiv 2510.20428, max(1, floor(budget size / n)) from each stratum, so that the count may miss the budget.
 * @throws MendsetError `invalid-argument` for an option out of its range, at once
 * @example
 * const { indices, quotas } = await selectIndices(stratified({ by: 'group' }), { n, budget: { count: 100 }, features: { groups } });
 */
export function stratified<B extends StratifiedBy = 'cluster'>(options: StratifiedOptions<B> = {}): Selector<StratifiedFeature<B>> {
  const { preset = 'principled', allocation = 'proportional', clusters = 10, components = 50, restarts = 4 } = options;
  const by: StratifiedBy = options.by ?? 'cluster';
  requireOneOf('by', by, ['cluster', 'group']);
  requireOneOf('allocation', allocation, ['proportional', 'waterfill']);
  requireInteger('clusters', clusters, 1);
  requireInteger('components', components, 1);
  requireInteger('restarts', restarts, 1);
  const feature = (by === 'group' ? 'groups' : 'embeddings') as StratifiedFeature<B>;
  const paper = preset === 'paper';
  return defineSelector<StratifiedFeature<B>>({
    name: 'stratified',
    preset,
    needs: [feature],
    parameters: { by, ...(paper ? {} : { allocation }), ...(by === 'cluster' ? { clusters, components, restarts } : {}) },
    workBytes: (n, d) => 32 * n + (by === 'cluster' ? clusterBytes(n, d, { clusters, components }) : 0),
    async choose(input, run, timed): Promise<Choice> {
      const { n, budget, seed } = input;
      const { embeddings, groups } = (input as unknown as SelectionInput<'embeddings' | 'groups'>).features;
      const found = by === 'cluster' ? await clusterEmbeddings(embeddings, { clusters, components, restarts, seed }, run, timed) : null;
      return timed('choosing', async () => {
        const turns = new Turns('stratified', run);
        const { labels, members } = await strataOfGroups(found ? found.grouped.labels : groups, turns);
        const sizes = members.map((each) => each.length);
        const quotas = paper
          ? sizes.map((size) => Math.max(1, Math.floor((budget * size) / n)))
          : (allocation === 'waterfill' ? waterFill : proportional)(budget, sizes);
        const indices = new Int32Array(quotas.reduce((sum, quota) => sum + quota, 0));
        let at = 0;
        for (const [stratum, each] of members.entries()) {
          const source = new RandomStream(seed, STREAM_IDS.stratified, stratum);
          indices.set((await shuffleInTurns(each.slice(), source, turns)).subarray(0, quotas[stratum]), at);
          at += quotas[stratum] as number;
        }
        const warnings = [...(found?.warnings ?? [])];
        if (indices.length !== budget)
          warnings.push(`The paper preset of stratified chose ${indices.length} of ${budget} records: every stratum gives at least one.`);
        return {
          indices,
          clusters: labels,
          quotas: Int32Array.from(quotas),
          ...(found ? { inertia: found.grouped.inertia, engine: engineReport(run) } : {}),
          work: { ...found?.work, choosing: drawWork(3 * n, budget) },
          warnings,
        };
      });
    },
  });
}
