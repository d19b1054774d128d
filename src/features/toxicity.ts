import { MendsetError } from '../core/errors.ts';
import type { RunOptions } from '../core/run-options.ts';
import type { PairRecord } from '../data/record.ts';
import type { Feature } from './feature.ts';
import { cachedFeature, type FeatureCache, VECTOR_PACK } from './feature-cache.ts';

export interface ToxicityFeatureOptions {
  /** Rates texts in [0, 1]; null where it could not */
  readonly score?: ((texts: readonly string[], options?: RunOptions) => Promise<readonly (number | null)[]>) | undefined;
  /** Identity of the scorer; without it nothing is cached */
  readonly scorerHash?: string | undefined;
  /** Use `scores.toxicity` of the records instead of a scorer */
  readonly fromRecords?: boolean | undefined;
}

/** Toxicity of each record's rejected text, [n] fp64; NaN where it could not be scored. Not scored is never 0. */
export async function toxicityFeature(
  records: readonly PairRecord[],
  options: ToxicityFeatureOptions,
  cache: FeatureCache | null,
  run: RunOptions,
): Promise<Feature<Float64Array>> {
  const { score } = options;
  if (options.fromRecords || !score) {
    const values = Float64Array.from(records, (r) => r.scores?.['toxicity'] ?? Number.NaN);
    const missing = values.filter((v) => Number.isNaN(v)).length;
    if (missing === records.length && records.length > 0) {
      throw new MendsetError(
        'invalid-argument',
        'Expected a toxicity scorer, or records with scores.toxicity: this selector ranks records by toxicity; other scores (loss, el2n, gradient norm) need a model alone.',
      );
    }
    const nothing = { seconds: 0, flopsCounted: 0 };
    return {
      kind: 'toxicity',
      values,
      cost: nothing,
      incurred: nothing,
      cached: false,
      options: { source: 'records' },
      warnings: failures(missing),
    };
  }
  return cachedFeature<Float64Array>(
    cache,
    { kind: 'toxicity', sourceHash: options.scorerHash ?? null, records, options: { source: 'scorer', text: 'rejected' } },
    VECTOR_PACK,
    async () => {
      const rated = records.flatMap((r, i) => (r.rejected !== null && r.rejected.trim() !== '' ? [i] : []));
      const scores = await score(
        rated.map((i) => (records[i] as PairRecord).rejected as string),
        run,
      );
      const values = new Float64Array(records.length).fill(Number.NaN);
      rated.forEach((index, j) => {
        values[index] = scores[j] ?? Number.NaN;
      });
      return { values, flopsCounted: 0, warnings: failures(values.filter((v) => Number.isNaN(v)).length) };
    },
  );
}

function failures(count: number): string[] {
  return count === 0 ? [] : [`${count} records have no toxicity score.`];
}
