import { MendsetError } from '../core/errors.ts';
import { ccs } from '../select/ccs.ts';
import { d2 } from '../select/d2.ts';
import { deduplicate } from '../select/deduplicate.ts';
import type { DifficultyScore } from '../select/difficulty.ts';
import { facilityLocation } from '../select/facility-location.ts';
import { grand } from '../select/grand.ts';
import { herding } from '../select/herding.ts';
import { kCenter } from '../select/k-center.ts';
import { moderate } from '../select/moderate.ts';
import { random } from '../select/random.ts';
import { saps } from '../select/saps.ts';
import type { AnySelector, SelectorName } from '../select/selector.ts';
import { stratified } from '../select/stratified.ts';
import { uniform } from '../select/uniform.ts';
import type { ScoreName, SelectorConfig } from './config.ts';

const SCORES: Readonly<Record<ScoreName | 'given', DifficultyScore>> = {
  given: 'given',
  'gradient-norm': 'gradientNorm',
  el2n: 'el2n',
  loss: 'loss',
  margin: 'margin',
  toxicity: 'toxicity',
};

/** Methods whose published code has nothing to keep apart from the principled form. */
const WITHOUT_PAPER_PRESET: readonly SelectorName[] = ['uniform', 'facility-location', 'deduplicate'];

/** The selector that a configuration describes; throws `invalid-argument` for impossible values. */
export function makeSelector(config: SelectorConfig, boundaryRatio: number | null): AnySelector {
  const { preset } = config;
  if (preset === 'paper' && WITHOUT_PAPER_PRESET.includes(config.method))
    throw new MendsetError(
      'invalid-argument',
      `Expected the principled preset because ${config.method} has no other, but received 'paper'.`,
    );
  switch (config.method) {
    case 'random':
      return random({ preset }) as AnySelector;
    case 'k-center':
      return kCenter({ preset, first: config.first, space: config.space, components: config.components }) as AnySelector;
    case 'grand':
      return grand({ preset, score: config.score && SCORES[config.score], offset: config.offset }) as AnySelector;
    case 'ccs':
      return ccs({ preset, score: config.score && SCORES[config.score], strata: config.strata, beta: config.beta }) as AnySelector;
    case 'saps': {
      // without centre records the plain mode chooses the same ones and says so in its parameters
      const mixed = boundaryRatio !== null && boundaryRatio !== 1 ? { boundaryRatio } : {};
      return saps({
        preset,
        clusters: config.clusters,
        allocation: config.allocation,
        mode: config.mode,
        components: config.components,
        ...mixed,
      }) as AnySelector;
    }
    case 'uniform':
      return uniform() as AnySelector;
    case 'stratified':
      return stratified({
        preset,
        by: config.by,
        allocation: config.allocation,
        clusters: config.clusters,
        components: config.components,
      }) as AnySelector;
    case 'facility-location':
      return facilityLocation({ metric: config.metric, space: config.space, components: config.components }) as AnySelector;
    case 'herding':
      return herding({ preset, rule: config.rule, space: config.space, components: config.components }) as AnySelector;
    case 'moderate':
      return moderate({ preset, by: config.by, clusters: config.clusters, components: config.components }) as AnySelector;
    case 'd2':
      return d2({
        preset,
        score: config.score && SCORES[config.score],
        neighbours: config.neighbours,
        forward: config.forward,
        reverse: config.reverse,
        space: config.space,
        components: config.components,
      }) as AnySelector;
    case 'deduplicate':
      return deduplicate({ threshold: config.threshold, fill: config.fill }) as AnySelector;
  }
}
