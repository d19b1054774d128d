import { z } from 'zod';
import { SCORE_NAMES, type SelectorConfig } from './config.ts';
import { choice, count, flag, mapping, number, numberOr, presetKey, shorthand, text, word } from './config-schema.ts';

const selectorBase = { name: text('a label').optional(), preset: presetKey };

const spaceShape = { space: word(['pca', 'raw'] as const).optional(), components: count(1).optional() };

export const selectorSchema: z.ZodType<SelectorConfig> = shorthand(
  'method',
  choice<SelectorConfig>('method', 'a selector', {
    random: mapping('a selector', { ...selectorBase, method: z.literal('random') }),
    'k-center': mapping('a selector', {
      ...selectorBase,
      method: z.literal('k-center'),
      first: numberOr(['random', 'farthest-from-mean'] as const, { min: 0, integer: true }).optional(),
      space: word(['pca', 'raw'] as const).optional(),
      components: count(1).optional(),
    }),
    grand: mapping('a selector', {
      ...selectorBase,
      method: z.literal('grand'),
      score: word(SCORE_NAMES).optional(),
      norm: word(['global', 'sum-of-tensors'] as const).optional(),
      offset: count().optional(),
    }),
    ccs: mapping('a selector', {
      ...selectorBase,
      method: z.literal('ccs'),
      score: word(SCORE_NAMES).optional(),
      strata: count(1).optional(),
      beta: number({ min: 0, max: 0.99 }).optional(),
    }),
    saps: mapping('a selector', {
      ...selectorBase,
      method: z.literal('saps'),
      clusters: count(1).optional(),
      allocation: word(['waterfill', 'proportional', 'equal-no-redistribute'] as const).optional(),
      mode: word(['global', 'density', 'random', 'stratified'] as const).optional(),
      components: count(1).optional(),
    }),
    uniform: mapping('a selector', { ...selectorBase, method: z.literal('uniform') }),
    stratified: mapping('a selector', {
      ...selectorBase,
      method: z.literal('stratified'),
      by: word(['cluster', 'group'] as const).optional(),
      allocation: word(['proportional', 'waterfill'] as const).optional(),
      clusters: count(1).optional(),
      components: count(1).optional(),
    }),
    'facility-location': mapping('a selector', {
      ...selectorBase,
      method: z.literal('facility-location'),
      metric: word(['cosine', 'euclidean'] as const).optional(),
      ...spaceShape,
    }),
    herding: mapping('a selector', {
      ...selectorBase,
      method: z.literal('herding'),
      rule: word(['inner-product', 'nearest'] as const).optional(),
      ...spaceShape,
    }),
    moderate: mapping('a selector', {
      ...selectorBase,
      method: z.literal('moderate'),
      by: word(['cluster', 'group'] as const).optional(),
      clusters: count(1).optional(),
      components: count(1).optional(),
    }),
    d2: mapping('a selector', {
      ...selectorBase,
      method: z.literal('d2'),
      score: word(SCORE_NAMES).optional(),
      neighbours: count(1).optional(),
      forward: number({ min: 0 }).optional(),
      reverse: number({ min: 0 }).optional(),
      ...spaceShape,
    }),
    deduplicate: mapping('a selector', {
      ...selectorBase,
      method: z.literal('deduplicate'),
      threshold: number({ min: -1, max: 1 }).optional(),
      fill: flag().optional(),
    }),
  }),
);

/** Any options of any selector, for overrides; whether a selector has them is checked with the selector's own schema. */
export const selectorOptions: z.ZodObject = mapping('selector options', {
  preset: word(['principled', 'paper'] as const).optional(),
  first: numberOr(['random', 'farthest-from-mean'] as const, { min: 0, integer: true }).optional(),
  ...spaceShape,
  score: word(SCORE_NAMES).optional(),
  norm: word(['global', 'sum-of-tensors'] as const).optional(),
  offset: count().optional(),
  strata: count(1).optional(),
  beta: number({ min: 0, max: 0.99 }).optional(),
  clusters: count(1).optional(),
  allocation: word(['waterfill', 'proportional', 'equal-no-redistribute'] as const).optional(),
  mode: word(['global', 'density', 'random', 'stratified'] as const).optional(),
  by: word(['cluster', 'group'] as const).optional(),
  metric: word(['cosine', 'euclidean'] as const).optional(),
  rule: word(['inner-product', 'nearest'] as const).optional(),
  neighbours: count(1).optional(),
  forward: number({ min: 0 }).optional(),
  reverse: number({ min: 0 }).optional(),
  threshold: number({ min: -1, max: 1 }).optional(),
  fill: flag().optional(),
});
