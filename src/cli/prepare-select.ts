import { sha256Hex } from '../core/hash.ts';
import type { Matrix } from '../core/matrix.ts';
import type { RunOptions } from '../core/run-options.ts';
import { readNpyIds, readNpyVector } from '../data/npy.ts';
import { readEmbeddings, splitEmbeddingsPath } from '../data/read-embeddings.ts';
import { type PairSet, readPairs } from '../data/read-pairs.ts';
import { loadScorer } from '../evaluate/load-scorer.ts';
import type { ToxicityScorer } from '../evaluate/scorer.ts';
import { loadEmbedder } from '../features/embedder.ts';
import { LanguageModel } from '../model/language-model.ts';
import { WEIGHT_STORAGES } from '../model/load-weights.ts';
import { resolveBudget } from '../select/budget.ts';
import { selectIndices } from '../select/select.ts';
import type { FeatureKind, FeatureTypes, Selection, SelectOptions } from '../select/selector.ts';
import type { SelectionSummary } from '../study/cell-result.ts';
import type { SelectorConfig } from '../study/config.ts';
import { makeSelector } from '../study/make-selector.ts';
import { ownPhases, select, selectionSummary } from '../study/select-records.ts';
import type { CommandContext } from './command-context.ts';
import { readScorer } from './read-scorer.ts';
import { readSelector } from './read-selector.ts';
import { METHOD_OPTIONS, SELECT_METHODS } from './select-methods.ts';

export interface SelectOutcome {
  readonly selection: Selection;
  readonly summary: SelectionSummary;
  /** of the records, or of the given features where there is no pool */
  readonly poolHash: string | null;
  readonly modelHash: string | null;
  readonly warnings: readonly string[];
}

export interface PreparedSelect {
  readonly pairs: PairSet | undefined;
  readonly count: number;
  run(options: RunOptions): Promise<SelectOutcome>;
}

/** Reads the options of `select` and all its data, collects every mistake, and computes nothing yet. */
export async function prepareSelect({ options, shared, signal, progress }: CommandContext): Promise<PreparedSelect> {
  const method = options.requiredOneOf('method', SELECT_METHODS);
  const budget = options.budget('budget');
  const config = readSelector(options, method ?? 'random');
  const boundaryRatio = options.number('boundaryRatio', { min: 0, max: 1 }) ?? null;
  if (method)
    for (const [name, methods] of Object.entries(METHOD_OPTIONS))
      if (!methods.includes(method)) options.refuse([name], `with --method ${method}, which does not use it`);

  const paths = {
    pool: options.texts('pool'),
    model: options.text('model'),
    encoder: options.text('encoder'),
    embeddings: options.text('embeddings'),
    scores: options.text('scores'),
    groups: options.text('groups'),
  };
  const weights = options.oneOf('weights', WEIGHT_STORAGES);
  const columns = options.columns('columns');
  const scorer = await readScorer(options);
  const memoryLimit = options.bytes('memoryLimit');
  const selector = method && (await options.attempt(() => makeSelector(config, boundaryRatio)));
  const needs: readonly FeatureKind[] = selector?.needs ?? [];
  const workBytes = (n: number, d: number): number =>
    selector?.workBytes?.(n, d, 'count' in budget ? Math.min(budget.count, n) : Math.floor(budget.fraction * n)) ?? 0;
  for (const path of paths.pool) await options.input(path, 'any', 'pool');
  for (const name of ['model', 'encoder'] as const) await options.input(paths[name], 'folder', name);
  const embeddingsFile = paths.embeddings === undefined ? undefined : splitEmbeddingsPath(paths.embeddings).path;
  await options.input(embeddingsFile, 'file', 'embeddings');
  for (const name of ['scores', 'groups'] as const) await options.input(paths[name], 'file', name);
  const readable = options.problems.length === 0;
  const pairs =
    readable && paths.pool.length > 0
      ? await options.attempt(() => readPairs(paths.pool, { signal, columns, onProgress: (event) => progress.update(event) }))
      : undefined;
  const embeddings =
    readable && paths.embeddings !== undefined
      ? await options.attempt(() => readEmbeddings(paths.embeddings as string, { signal, memoryLimit, workBytes }))
      : undefined;
  const groups =
    readable && paths.groups !== undefined
      ? await options.attempt(() => readNpyIds(paths.groups as string, { negative: true }))
      : undefined;
  const scores = readable && paths.scores !== undefined ? await options.attempt(() => readNpyVector(paths.scores as string)) : undefined;

  if (paths.pool.length === 0 && paths.embeddings === undefined && paths.scores === undefined && paths.groups === undefined) {
    options.problem('Expected --pool, --embeddings or --scores to select from, but none is given.');
  }
  if (needs.includes('groups') && paths.groups === undefined && paths.pool.length === 0)
    options.problem(`Expected --groups, or --pool of records with a groupId, because ${method} chooses by group.`);
  const needsEmbeddings = needs.includes('embeddings');
  if (needsEmbeddings && paths.embeddings === undefined && paths.model === undefined && paths.encoder === undefined) {
    options.problem(`Expected --model, --encoder or --embeddings, because ${method} needs embeddings.`);
  }
  if (needsEmbeddings && paths.embeddings === undefined && paths.pool.length === 0 && paths.model !== undefined)
    options.problem('Expected --pool, the records to embed, but it is missing.');
  const score = 'score' in config ? config.score : undefined;
  const needsModel =
    (method === 'grand' || method === 'ccs' || method === 'd2') &&
    score !== 'given' &&
    (score ?? (method === 'ccs' ? 'toxicity' : method === 'd2' ? 'el2n' : 'gradient-norm')) !== 'toxicity';
  if (needsModel && paths.model === undefined)
    options.problem(`Expected --model or --scores, because ${method} ranks by ${score ?? (method === 'd2' ? 'el2n' : 'gradient-norm')}.`);
  if (method === 'ccs' && score === undefined && paths.pool.length === 0)
    options.problem('Expected --pool or --scores, because ccs ranks by toxicity unless --score says otherwise.');

  const sizes = [
    ['--pool', pairs?.records.length],
    ['--embeddings', embeddings?.rows],
    ['--scores', scores?.length],
    ['--groups', groups?.ids.length],
  ] as const;
  const known = sizes.filter((s): s is readonly [(typeof sizes)[number][0], number] => s[1] !== undefined);
  for (const [name, size] of known.slice(1)) {
    const [first, expected] = known[0] as readonly [string, number];
    if (size !== expected) options.problem(`Expected ${name} for the ${expected} records of ${first} but it has ${size}.`);
  }
  const count = known[0]?.[1] ?? 0;
  if (options.problems.length === 0) await options.attempt(() => resolveBudget(count, budget));
  if (
    options.problems.length === 0 &&
    typeof (config as { first?: unknown }).first === 'number' &&
    (config as { first: number }).first >= count
  ) {
    options.problem(`Expected --first below the ${count} records but received ${(config as { first: number }).first}.`);
  }
  const seed = shared.seed ?? 0;

  return {
    pairs,
    count,
    async run(run) {
      const runOptions = { ...run, threads: shared.threads, backend: shared.backend, memoryLimit };
      const given = { embeddings, scores, groups: groups?.ids };
      const complete =
        needs.length > 0 && needs.every((kind) => kind !== 'gradientNorms' && kind !== 'toxicity' && given[kind] !== undefined);
      if (!pairs || complete) return selectGiven(config, boundaryRatio, { n: count, budget, seed }, given, pairs, runOptions);
      const loading = { ...run, backend: shared.backend, threads: shared.threads };
      const wantsModel = needsModel || (needsEmbeddings && embeddings === undefined && paths.encoder === undefined);
      const model = wantsModel && paths.model !== undefined ? await LanguageModel.load(paths.model, { ...loading, weights }) : undefined;
      const embedder = needsEmbeddings && embeddings === undefined ? await loadEmbedder(paths.encoder, loading) : undefined;
      let opened: ToxicityScorer | undefined;
      try {
        const norm = config.method === 'grand' ? config.norm : undefined;
        const selection = await select(pairs, makeSelector(config, boundaryRatio), {
          budget,
          seed,
          model,
          embeddings: { model: embedder?.model ?? model, encoder: embedder?.encoder, matrix: embeddings },
          ...(norm ? { gradientNorms: { norm } } : {}),
          ...(scores && config.method !== 'random' ? { scores: { values: scores } } : {}),
          ...(groups ? { groups: { values: groups.ids } } : {}),
          scorer: async () => {
            opened = await loadScorer(scorer ?? 'builtin', loading);
            return opened;
          },
          ...runOptions,
        });
        return {
          selection,
          summary: selectionSummary(selection, selection.phases, selection.featureFlops),
          poolHash: selection.poolHash,
          modelHash: selection.modelHash,
          warnings: [...pairs.warnings, ...selection.warnings],
        };
      } finally {
        model?.dispose();
        embedder?.model?.dispose();
        embedder?.encoder?.dispose();
        opened?.dispose?.();
      }
    },
  };
}

/** Selection on the caller's own values: neither model nor pool is needed. */
async function selectGiven(
  config: SelectorConfig,
  boundaryRatio: number | null,
  request: { n: number; budget: { fraction: number } | { count: number }; seed: number },
  given: { embeddings: Matrix | undefined; scores: Float64Array | undefined; groups: Int32Array | undefined },
  pairs: PairSet | undefined,
  options: SelectOptions,
): Promise<SelectOutcome> {
  const features: Partial<Record<FeatureKind, FeatureTypes[FeatureKind]>> = {};
  if (given.embeddings) features.embeddings = given.embeddings;
  if (given.scores) features.scores = given.scores;
  if (given.groups) features.groups = given.groups;
  const selection = await selectIndices(
    makeSelector(config, boundaryRatio),
    { ...request, features: features as FeatureTypes, ids: pairs?.records.map((r) => r.id) },
    { ...options, ...(pairs ? { poolHash: poolHash(pairs) } : {}) },
  );
  return {
    selection,
    summary: selectionSummary(selection, ownPhases(selection), 0),
    poolHash: selection.poolHash,
    modelHash: null,
    warnings: selection.warnings,
  };
}

function poolHash(pairs: PairSet): string {
  return sha256Hex(pairs.records.map((r) => r.hash));
}

/** The document that `select --json` prints. */
export function selectDocument(outcome: SelectOutcome): Record<string, unknown> {
  const { selection, summary } = outcome;
  const list = (values: ArrayLike<number> | undefined | null) =>
    values ? Array.from(values, (v) => (Number.isFinite(v) ? v : null)) : undefined;
  return {
    method: selection.method,
    preset: selection.preset,
    parameters: selection.parameters,
    n: selection.n,
    budget: selection.budget,
    seed: selection.seed,
    indices: [...selection.indices],
    ids: selection.ids ?? undefined,
    scores: list(selection.scores) ?? null,
    clusters: list(selection.clusters),
    quotas: list(selection.quotas),
    radii: list(selection.radii),
    coverage: selection.coverage,
    gains: list(selection.gains),
    value: selection.value,
    inertia: selection.inertia,
    timings: Object.fromEntries(summary.phases.map((p) => [p.phase, p.seconds])),
    seconds: summary.seconds,
    poolHash: outcome.poolHash,
    modelHash: outcome.modelHash,
    backend: selection.backend,
    isa: selection.isa,
    threads: selection.threads,
    work: selection.work,
    memory: selection.memory,
    dropped: selection.dropped,
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
    warnings: outcome.warnings,
  };
}
