/** What a selector can ask for. */
export type FeatureKind = 'embeddings' | 'gradientNorms' | 'toxicity' | 'scores' | 'groups';

export interface FeatureCost {
  readonly seconds: number;
  /** By formula, not by measurement; 0 for values that came with the data */
  readonly flopsCounted: number;
}

/** Values for the records of a pool, in its order. */
export interface Feature<V> {
  readonly kind: FeatureKind;
  readonly values: V;
  /** Of computing them, whenever that was; the part of a pass that served several features counts for each of them */
  readonly cost: FeatureCost;
  /** Of this call: next to nothing when the values came from the cache or from another feature's pass */
  readonly incurred: FeatureCost;
  readonly cached: boolean;
  /** How they were computed, with hashes of model or scorer */
  readonly options: Readonly<Record<string, unknown>>;
  readonly warnings: readonly string[];
}
