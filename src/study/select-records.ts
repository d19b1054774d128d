import { sha256Hex } from '../core/hash.ts';
import type { Pool } from '../data/record.ts';
import type { ToxicityScorer } from '../evaluate/scorer.ts';
import { combineLabels } from '../evaluate/toxicity-scores.ts';
import { computeFeatures, type FeatureContext } from '../features/compute-features.ts';
import type { TextScoring } from '../repair/normal-texts.ts';
import type { Budget } from '../select/budget.ts';
import { selectIndices } from '../select/select.ts';
import type { FeatureKind, FeatureTypes, Selection, SelectOptions, Selector } from '../select/selector.ts';
import type { SelectionSummary } from './cell-result.ts';

export interface SelectFromPoolOptions extends SelectOptions, Omit<FeatureContext, 'preset' | 'toxicity'> {
  /** A share of the pool or a number of records */
  readonly budget: Budget;
  /** Take everything instead of refusing a count beyond the pool */
  readonly clip?: boolean | undefined;
  /** Selection seed; default 0 */
  readonly seed?: number | undefined;
  /** Rates rejected texts, for a selector that ranks by toxicity and records that bring no scores; opened when needed */
  readonly scorer?: ToxicityScorer | (() => Promise<ToxicityScorer>) | undefined;
}

/** A selection with what its features cost. */
export interface PoolSelection extends Selection {
  readonly ids: readonly string[];
  readonly poolHash: string;
  readonly modelHash: string | null;
  /** Features (at their first cost, also from the cache), then the selector's own phases */
  readonly phases: readonly { readonly phase: string; readonly seconds: number }[];
  readonly featureFlops: number;
}

/**
 * Chooses records of a pool: computes the features that the selector needs, and only those, then selects.
 *
 * @param pool records in a fixed order, e.g. from `buildPool`
 * @returns indices into `pool.records` in selection order
 * @throws MendsetError `invalid-argument` (budget, missing model or scorer), `invalid-data`, `non-finite`, `aborted`
 * @example
 * const { indices } = await select(pool, saps(), { budget: { fraction: 0.5 }, model });
 */
export async function select<F extends FeatureKind>(
  pool: Pick<Pool, 'records' | 'appendEos'>,
  selector: Selector<F>,
  options: SelectFromPoolOptions,
): Promise<PoolSelection> {
  const { records } = pool;
  const needs: readonly FeatureKind[] = selector.needs;
  const score = selector.parameters['score'];
  const computed = await computeFeatures(pool, needs, {
    ...options,
    preset: selector.preset,
    scores: { ...options.scores, ...(score === 'el2n' || score === 'loss' || score === 'margin' ? { score } : {}) },
    toxicity: needs.includes('toxicity') ? await toxicitySource(pool, options.scorer) : undefined,
  });
  const features: Partial<Record<FeatureKind, FeatureTypes[FeatureKind]>> = {};
  const phases: { phase: string; seconds: number }[] = [];
  const warnings: string[] = [];
  let featureFlops = 0;
  for (const kind of needs) {
    const feature = computed[kind];
    if (!feature) continue;
    features[kind] = feature.values;
    phases.push({ phase: kind, seconds: feature.cost.seconds });
    featureFlops += feature.cost.flopsCounted;
    warnings.push(...feature.warnings);
  }
  const { budget, clip, seed } = options;
  const poolHash = sha256Hex(records.map((r) => r.hash));
  const selection = await selectIndices(
    selector,
    {
      n: records.length,
      budget,
      clip,
      seed,
      features: features as { [K in F]: FeatureTypes[K] },
      ids: records.map((r) => r.id),
    },
    { ...options, poolHash },
  );
  return {
    ...selection,
    warnings: [...warnings, ...selection.warnings],
    ids: selection.ids ?? [],
    poolHash,
    modelHash: (options.embeddings?.encoder ?? options.embeddings?.model ?? options.model)?.hash ?? null,
    phases: [...phases, ...ownPhases(selection)],
    featureFlops,
  };
}

/** The selector's own phases in seconds. */
export function ownPhases(selection: Selection): { phase: string; seconds: number }[] {
  return Object.entries(selection.timings).map(([phase, ms]) => ({ phase, seconds: ms / 1000 }));
}

/** What results.jsonl keeps of a selection. */
export function selectionSummary(selection: Selection, phases: SelectionSummary['phases'], featureFlops: number): SelectionSummary {
  return {
    method: selection.method,
    preset: selection.preset,
    options: selection.parameters,
    budget: selection.budget,
    count: selection.indices.length,
    indicesHash: sha256Hex(selection.indices.join(',')),
    seconds: phases.reduce((sum, p) => sum + p.seconds, 0),
    reused: false,
    phases,
    featureFlops,
    warnings: selection.warnings,
  };
}

/** Scores that came with all the records, else the scorer. */
async function toxicitySource(
  { records }: Pick<Pool, 'records'>,
  scorer: SelectFromPoolOptions['scorer'],
): Promise<FeatureContext['toxicity']> {
  if (!scorer || records.every((r) => r.scores?.['toxicity'] !== undefined)) return { fromRecords: true };
  const opened = typeof scorer === 'function' ? await scorer() : scorer;
  return { score: textScoring(opened), scorerHash: opened.identity.weightsHash };
}

/** One number for each text: the largest label, null where the scorer failed. */
export function textScoring(scorer: ToxicityScorer): TextScoring {
  return async (texts, options) => (await scorer.score(texts, options)).map((labels) => combineLabels(labels, 'max'));
}
