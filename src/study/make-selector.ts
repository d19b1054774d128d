import { ccs } from '../select/ccs.ts';
import type { DifficultyScore } from '../select/difficulty.ts';
import { grand } from '../select/grand.ts';
import { kCenter } from '../select/k-center.ts';
import { random } from '../select/random.ts';
import { saps } from '../select/saps.ts';
import type { AnySelector } from '../select/selector.ts';
import type { ScoreName, SelectorConfig } from './config.ts';

const SCORES: Readonly<Record<ScoreName | 'given', DifficultyScore>> = {
  given: 'given',
  'gradient-norm': 'gradientNorm',
  el2n: 'el2n',
  loss: 'loss',
  margin: 'margin',
  toxicity: 'toxicity',
};

/** The selector that a configuration describes; throws `invalid-argument` for impossible values. */
export function makeSelector(config: SelectorConfig, boundaryRatio: number | null): AnySelector {
  const { preset } = config;
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
  }
}
