import { SCORE_NAMES, type SelectorConfig } from '../study/config.ts';
import type { OptionReader } from './option-reader.ts';
import type { SelectMethod } from './select-methods.ts';

/** The selector that the options describe, as a study would. */
export function readSelector(options: OptionReader, method: SelectMethod): SelectorConfig {
  const preset = options.oneOf('preset', ['principled', 'paper'] as const, 'principled');
  const base = { name: method, preset };
  const given = options.has('scores') ? ('given' as const) : undefined;
  const score = options.oneOf('score', SCORE_NAMES) ?? given;
  if (given && options.has('score')) options.problem('Expected either --score or --scores, not both.');
  const by = options.oneOf('by', ['cluster', 'group'] as const) ?? (options.has('groups') ? 'group' : undefined);
  if (by === 'cluster' && options.has('groups')) options.problem('Expected no --groups with --by cluster.');
  const read = {
    first: options.countOr('first', ['random', 'farthest-from-mean'] as const, 0),
    clusters: options.count('clusters', 1),
    allocation: options.oneOf('allocation', ['waterfill', 'proportional', 'equal-no-redistribute'] as const),
    mode: options.oneOf('mode', ['global', 'density', 'random', 'stratified'] as const),
    norm: options.oneOf('norm', ['global', 'sum-of-tensors'] as const),
    metric: options.oneOf('metric', ['cosine', 'euclidean'] as const),
    space: options.oneOf('space', ['pca', 'raw'] as const),
    components: options.count('components', 1),
    rule: options.oneOf('rule', ['inner-product', 'nearest'] as const),
    neighbours: options.count('neighbours', 1),
    threshold: options.number('threshold', { min: -1, max: 1 }),
    fill: options.has('fill') ? options.flag('fill') : undefined,
    score,
    by,
  };
  const take = <K extends keyof typeof read>(...names: K[]) =>
    Object.fromEntries(names.filter((name) => read[name] !== undefined).map((name) => [name, read[name]])) as {
      [N in K]?: NonNullable<(typeof read)[N]>;
    };
  switch (method) {
    case 'random':
    case 'uniform':
      return { ...base, method };
    case 'stratified': {
      const { allocation, ...rest } = take('by', 'allocation', 'clusters', 'components');
      if (allocation === 'equal-no-redistribute')
        options.problem(
          'Expected --allocation to be proportional or waterfill with --method stratified but received "equal-no-redistribute".',
        );
      else if (allocation) return { ...base, method, ...rest, allocation };
      return { ...base, method, ...rest };
    }
    case 'k-center':
      return { ...base, method, ...take('first', 'space', 'components') };
    case 'grand':
      return { ...base, method, ...take('score', 'norm') };
    case 'ccs':
      return { ...base, method, ...take('score') };
    case 'saps':
      return { ...base, method, ...take('clusters', 'allocation', 'mode', 'components') };
    case 'facility-location':
      return { ...base, method, ...take('metric', 'space', 'components') };
    case 'herding':
      return { ...base, method, ...take('rule', 'space', 'components') };
    case 'moderate':
      return { ...base, method, ...take('by', 'clusters', 'components') };
    case 'd2':
      return { ...base, method, ...take('score', 'neighbours', 'space', 'components') };
    case 'deduplicate':
      return { ...base, method, ...take('threshold', 'fill') };
  }
}
