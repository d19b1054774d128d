import { MendsetError } from '../core/errors.ts';
import type { Matrix } from '../core/matrix.ts';
import type { RunOptions } from '../core/run-options.ts';
import { readNpyVector } from '../data/npy.ts';
import type { PairRecord, Pool } from '../data/record.ts';
import type { LanguageModel } from '../model/language-model.ts';
import { type EmbeddingOptions, embeddingFeature } from './embeddings.ts';
import type { Feature, FeatureKind } from './feature.ts';
import { FeatureCache } from './feature-cache.ts';
import { type GradientNormOptions, gradientNormFeature } from './gradient-norms.ts';
import { type GroupOptions, groupFeature } from './groups.ts';
import { ScoredPass } from './scored-pass.ts';
import { type TokenScoreOptions, tokenScoreFeature } from './token-scores.ts';
import { type ToxicityFeatureOptions, toxicityFeature } from './toxicity.ts';

export interface FeatureContext extends RunOptions {
  /** Default model of everything that needs one */
  readonly model?: LanguageModel | undefined;
  /** `paper`: raw lines are embedded, gradient norms are summed over tensors on the gold text */
  readonly preset?: 'principled' | 'paper' | undefined;
  /** Folder of cached features; nothing is cached without it */
  readonly cacheDirectory?: string | undefined;
  readonly embeddings?: EmbeddingOptions | undefined;
  readonly gradientNorms?: GradientNormOptions | undefined;
  readonly scores?: (TokenScoreOptions & { readonly values?: Float64Array | undefined; readonly file?: string | undefined }) | undefined;
  readonly toxicity?: ToxicityFeatureOptions | undefined;
  readonly groups?: GroupOptions | undefined;
}

export interface ComputedFeatures {
  readonly embeddings?: Feature<Matrix>;
  readonly gradientNorms?: Feature<Float64Array>;
  readonly toxicity?: Feature<Float64Array>;
  readonly scores?: Feature<Float64Array>;
  readonly groups?: Feature<Int32Array>;
}

/**
 * Computes what a selector says it needs, and only that, for the records of a pool in their order. Values come from the cache when
 * model, records and options are those they were computed with. Gradient norms and scores of the same texts take one pass.
 *
 * @throws MendsetError `invalid-argument` (nothing to compute it with), `invalid-data`, `corrupt` (cache), `aborted`
 * @example
 * const features = await computeFeatures(pool, ['embeddings'], { model, cacheDirectory: '.mendset-cache' });
 */
export async function computeFeatures(
  pool: Pick<Pool, 'records' | 'appendEos'>,
  needs: readonly FeatureKind[],
  context: FeatureContext = {},
): Promise<ComputedFeatures> {
  const { records, appendEos } = pool;
  const { model, signal, onProgress } = context;
  const paper = context.preset === 'paper';
  const cache = context.cacheDirectory === undefined ? null : new FeatureCache(context.cacheDirectory);
  const run: RunOptions = { signal, onProgress };
  const out: { -readonly [K in keyof ComputedFeatures]: ComputedFeatures[K] } = {};
  const paperNorms = paper ? { norm: 'sum-of-tensors' as const, text: 'gold' as const } : {};
  const normOptions: GradientNormOptions = { model, ...paperNorms, ...context.gradientNorms };
  const scoreOptions = { model, ...context.scores };
  const kinds = new Set(needs);
  const pass =
    kinds.has('gradientNorms') && kinds.has('scores') && sameTexts(normOptions, scoreOptions) && !bringsScores(context)
      ? new ScoredPass()
      : undefined;
  // norms before scores, which may come with them
  for (const kind of pass ? new Set<FeatureKind>(['gradientNorms', ...kinds]) : kinds) {
    if (kind === 'embeddings') {
      out.embeddings = await embeddingFeature(
        records,
        { model, ...(paper ? { text: 'raw-line' as const } : {}), ...context.embeddings },
        cache,
        run,
      );
    } else if (kind === 'gradientNorms') {
      out.gradientNorms = await gradientNormFeature(records, appendEos, normOptions, cache, run, pass);
    } else if (kind === 'toxicity') {
      out.toxicity = await toxicityFeature(records, context.toxicity ?? {}, cache, run);
    } else if (kind === 'groups') {
      out.groups = groupFeature(records, context.groups ?? {});
    } else {
      const given =
        context.scores?.values ?? (context.scores?.file === undefined ? null : await readNpyVector(context.scores.file, { finite: false }));
      out.scores = given ? givenScores(given, records) : await tokenScoreFeature(records, appendEos, scoreOptions, cache, run, pass);
    }
  }
  return out;
}

function bringsScores({ scores }: FeatureContext): boolean {
  return scores?.values !== undefined || scores?.file !== undefined;
}

/** Both read the chosen texts with the same model and count the same tokens. */
function sameTexts(norms: GradientNormOptions, scores: TokenScoreOptions): boolean {
  return (
    norms.model === scores.model &&
    (norms.text ?? 'chosen') === 'chosen' &&
    (norms.tokens ?? 'completion') === (scores.tokens ?? 'completion')
  );
}

function givenScores(values: Float64Array, records: readonly PairRecord[]): Feature<Float64Array> {
  if (values.length !== records.length) {
    throw new MendsetError(
      'invalid-data',
      `Expected scores of ${records.length} records but received ${values.length}: they must be in the pool's order, one for each record.`,
    );
  }
  const nothing = { seconds: 0, flopsCounted: 0 };
  return { kind: 'scores', values, cost: nothing, incurred: nothing, cached: false, options: { source: 'given' }, warnings: [] };
}
