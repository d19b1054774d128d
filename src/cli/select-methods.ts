import type { SelectorName } from '../select/selector.ts';

/** What `select --method` may name. */
export type SelectMethod = SelectorName;
export const SELECT_METHODS: readonly SelectMethod[] = [
  'random',
  'k-center',
  'grand',
  'ccs',
  'saps',
  'uniform',
  'stratified',
  'facility-location',
  'herding',
  'moderate',
  'd2',
  'deduplicate',
];

const REDUCED = ['k-center', 'facility-location', 'herding', 'd2'] as const;
const CLUSTERED = ['saps', 'stratified', 'moderate'] as const;

/** Options that only some methods understand. */
export const METHOD_OPTIONS: Readonly<Record<string, readonly SelectMethod[]>> = {
  first: ['k-center'],
  clusters: CLUSTERED,
  boundaryRatio: ['saps'],
  allocation: ['saps', 'stratified'],
  mode: ['saps'],
  score: ['grand', 'ccs', 'd2'],
  norm: ['grand'],
  scores: ['grand', 'ccs', 'd2', 'random'],
  by: ['stratified', 'moderate'],
  groups: ['stratified', 'moderate'],
  metric: ['facility-location'],
  space: REDUCED,
  components: [...REDUCED, ...CLUSTERED],
  rule: ['herding'],
  neighbours: ['d2'],
  threshold: ['deduplicate'],
  fill: ['deduplicate'],
};
