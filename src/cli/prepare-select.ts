import { sha256Hex } from '../core/hash.ts';
import type { Matrix } from '../core/matrix.ts';
import type { RunOptions } from '../core/run-options.ts';
import { readNpyMatrix, readNpyVector } from '../data/npy.ts';
import { type PairSet, readPairs } from '../data/read-pairs.ts';
import { loadScorer } from '../evaluate/load-scorer.ts';
import { LanguageModel } from '../model/language-model.ts';
import { resolveBudget } from '../select/budget.ts';
import { selectIndices } from '../select/select.ts';
import type { FeatureKind, FeatureTypes, Selection, SelectOptions } from '../select/selector.ts';
import type { SelectionSummary } from '../study/cell-result.ts';
import { SCORE_NAMES, type SelectorConfig } from '../study/config.ts';
import { makeSelector } from '../study/make-selector.ts';
import { ownPhases, select, selectionSummary } from '../study/select-records.ts';
import type { CommandContext } from './command-context.ts';

const METHODS = ['random', 'k-center', 'grand', 'ccs', 'saps'] as const;
type Method = (typeof METHODS)[number];

/** Options that only some methods understand. */
const METHOD_OPTIONS: Readonly<Record<string, readonly Method[]>> = {
  first: ['k-center'],
  clusters: ['saps'],
  boundaryRatio: ['saps'],
  allocation: ['saps'],
  score: ['grand', 'ccs'],
  norm: ['grand'],
  scores: ['grand', 'ccs', 'random'],
};

export interface SelectOutcome {
  readonly selection: Selection;
  readonly summary: SelectionSummary;
  /** null without a pool */
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
export async function prepareSelect({ options, shared, signal }: CommandContext): Promise<PreparedSelect> {
  const method = options.requiredOneOf('method', METHODS);
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
  };
  for (const path of paths.pool) await options.input(path, 'any', 'pool');
  for (const name of ['model', 'encoder'] as const) await options.input(paths[name], 'folder', name);
  for (const name of ['embeddings', 'scores'] as const) await options.input(paths[name], 'file', name);
  const readable = options.problems.length === 0;
  const pairs = readable && paths.pool.length > 0 ? await options.attempt(() => readPairs(paths.pool, { signal })) : undefined;
  const embeddings =
    readable && paths.embeddings !== undefined ? await options.attempt(() => readNpyMatrix(paths.embeddings as string)) : undefined;
  const scores = readable && paths.scores !== undefined ? await options.attempt(() => readNpyVector(paths.scores as string)) : undefined;

  if (paths.pool.length === 0 && paths.embeddings === undefined && paths.scores === undefined) {
    options.problem('Expected --pool, --embeddings or --scores to select from, but none is given.');
  }
  const needsEmbeddings = method === 'k-center' || method === 'saps';
  if (needsEmbeddings && paths.embeddings === undefined && paths.model === undefined && paths.encoder === undefined) {
    options.problem(`Expected --model, --encoder or --embeddings, because ${method} needs embeddings.`);
  }
  if (needsEmbeddings && paths.embeddings === undefined && paths.pool.length === 0 && paths.model !== undefined)
    options.problem('Expected --pool, the records to embed, but it is missing.');
  const score = 'score' in config ? config.score : undefined;
  const needsModel =
    (method === 'grand' || method === 'ccs') &&
    score !== 'given' &&
    (score ?? (method === 'ccs' ? 'toxicity' : 'gradient-norm')) !== 'toxicity';
  if (needsModel && paths.model === undefined)
    options.problem(`Expected --model or --scores, because ${method} ranks by ${score ?? 'gradient-norm'}.`);
  if (method === 'ccs' && score === undefined && paths.pool.length === 0)
    options.problem('Expected --pool or --scores, because ccs ranks by toxicity unless --score says otherwise.');

  const sizes = [
    ['--pool', pairs?.records.length],
    ['--embeddings', embeddings?.rows],
    ['--scores', scores?.length],
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
  if (method) await options.attempt(() => makeSelector(config, boundaryRatio));
  const seed = shared.seed ?? 0;

  return {
    pairs,
    count,
    async run(run) {
      const runOptions = { ...run, threads: shared.threads, backend: shared.backend };
      if (!pairs || (scores && config.method !== 'random'))
        return selectGiven(config, boundaryRatio, { n: count, budget, seed }, { embeddings, scores }, pairs, runOptions);
      const load = (directory: string | undefined) =>
        directory === undefined ? undefined : LanguageModel.load(directory, { ...run, backend: shared.backend, threads: shared.threads });
      const wantsModel = needsModel || (needsEmbeddings && embeddings === undefined && paths.encoder === undefined);
      const model = wantsModel ? await load(paths.model) : undefined;
      const encoder = needsEmbeddings && embeddings === undefined ? await load(paths.encoder) : undefined;
      try {
        const norm = config.method === 'grand' ? config.norm : undefined;
        const selection = await select(pairs, makeSelector(config, boundaryRatio), {
          budget,
          seed,
          model,
          embeddings: { model: encoder ?? model, matrix: embeddings },
          ...(norm ? { gradientNorms: { norm } } : {}),
          scorer: () => loadScorer('builtin'),
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
        encoder?.dispose();
      }
    },
  };
}

function readSelector(options: CommandContext['options'], method: Method): SelectorConfig {
  const preset = options.oneOf('preset', ['principled', 'paper'] as const, 'principled');
  const base = { name: method, preset };
  const given = options.has('scores') ? 'given' : undefined;
  const score = options.oneOf('score', SCORE_NAMES) ?? given;
  if (given && options.has('score')) options.problem('Expected either --score or --scores, not both.');
  const first = options.countOr('first', ['random', 'farthest-from-mean'] as const, 0);
  const clusters = options.count('clusters', 1);
  const allocation = options.oneOf('allocation', ['waterfill', 'proportional', 'equal-no-redistribute'] as const);
  const norm = options.oneOf('norm', ['global', 'sum-of-tensors'] as const);
  switch (method) {
    case 'random':
      return { ...base, method };
    case 'k-center':
      return { ...base, method, ...(first === undefined ? {} : { first }) };
    case 'grand':
      return { ...base, method, ...(score ? { score } : {}), ...(norm ? { norm } : {}) };
    case 'ccs':
      return { ...base, method, ...(score ? { score } : {}) };
    case 'saps':
      return { ...base, method, ...(clusters === undefined ? {} : { clusters }), ...(allocation ? { allocation } : {}) };
  }
}

/** Selection on the caller's own values: neither model nor pool is needed. */
async function selectGiven(
  config: SelectorConfig,
  boundaryRatio: number | null,
  request: { n: number; budget: { fraction: number } | { count: number }; seed: number },
  given: { embeddings: Matrix | undefined; scores: Float64Array | undefined },
  pairs: PairSet | undefined,
  options: SelectOptions,
): Promise<SelectOutcome> {
  const features: Partial<Record<FeatureKind, FeatureTypes[FeatureKind]>> = {};
  if (given.embeddings) features.embeddings = given.embeddings;
  if (given.scores) features.scores = given.scores;
  const selection = await selectIndices(makeSelector(config, boundaryRatio), { ...request, features: features as FeatureTypes }, options);
  return {
    selection,
    summary: selectionSummary(selection, ownPhases(selection), 0),
    poolHash: pairs ? poolHash(pairs) : null,
    modelHash: null,
    warnings: selection.warnings,
  };
}

function poolHash(pairs: PairSet): string {
  return sha256Hex(pairs.records.map((r) => r.hash));
}

/** The document that `select --json` prints. */
export function selectDocument(outcome: SelectOutcome, pairs: PairSet | undefined): Record<string, unknown> {
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
    ids: pairs ? [...selection.indices].map((i) => pairs.records[i]?.id) : undefined,
    scores: list(selection.scores) ?? null,
    clusters: list(selection.clusters),
    quotas: list(selection.quotas),
    radii: list(selection.radii),
    coverage: selection.coverage,
    timings: Object.fromEntries(summary.phases.map((p) => [p.phase, p.seconds])),
    seconds: summary.seconds,
    poolHash: outcome.poolHash,
    modelHash: outcome.modelHash,
    backend: selection.backend,
    isa: selection.isa,
    threads: selection.threads,
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
    warnings: outcome.warnings,
  };
}
