import { type Budget, resolveBudget } from './budget.ts';
import type { FeatureKind, FeatureTypes, Selection, SelectOptions, Selector } from './selector.ts';

export interface SelectRequest<F extends FeatureKind = never> {
  /** records in the window */
  readonly n: number;
  readonly budget: Budget;
  /** limit a count to n instead of refusing it */
  readonly clip?: boolean | undefined;
  /** the selection seed; default 0 */
  readonly seed?: number | bigint | undefined;
  readonly features: { readonly [K in F]: FeatureTypes[K] };
  /** names of the records, one each; the result then names the chosen ones */
  readonly ids?: readonly string[] | undefined;
}

/**
 * Runs a selector on features that are already there: the entry for callers with their own embeddings or scores.
 * @throws MendsetError `invalid-argument`, `non-finite`, `aborted`
 * @example
 * const { indices } = await selectIndices(kCenter(), { n: 1000, budget: { fraction: 0.5 }, seed: 43, features: { embeddings } });
 */
export async function selectIndices<F extends FeatureKind>(
  selector: Selector<F>,
  request: SelectRequest<F>,
  options: SelectOptions = {},
): Promise<Selection> {
  const { n, budget, clip, seed = 0, features, ids } = request;
  return selector.select({ n, budget: resolveBudget(n, budget, { clip }), seed, features, ids }, options);
}
