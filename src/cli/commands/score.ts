import { MendsetError } from '../../core/errors.ts';
import { writeFileAtomic } from '../../core/files.ts';
import type { ProgressEvent, RunOptions } from '../../core/run-options.ts';
import { writeNpy } from '../../data/npy.ts';
import { readPairs } from '../../data/read-pairs.ts';
import type { PairRecord } from '../../data/record.ts';
import { loadScorer } from '../../evaluate/load-scorer.ts';
import { computeFeatures } from '../../features/compute-features.ts';
import { type Embedder, loadEmbedder } from '../../features/embedder.ts';
import { chosenSequences } from '../../features/record-sequences.ts';
import { LanguageModel } from '../../model/language-model.ts';
import { WEIGHT_STORAGES } from '../../model/load-weights.ts';
import { textScoring } from '../../study/select-records.ts';
import type { CommandContext } from '../command-context.ts';
import { readScorer } from '../read-scorer.ts';

const WHATS = ['loss', 'gradient-norm', 'el2n', 'margin', 'embedding', 'toxicity'] as const;
type What = (typeof WHATS)[number];
const FIELDS: Readonly<Record<What, string>> = {
  loss: 'loss',
  'gradient-norm': 'gradientNorm',
  el2n: 'el2n',
  margin: 'margin',
  embedding: 'embedding',
  toxicity: 'toxicity',
};

interface ScoreRequest {
  readonly what: readonly What[];
  readonly records: readonly PairRecord[];
  readonly appendEos: boolean;
  readonly tokens: 'completion' | 'all';
  readonly norm: 'global' | 'sum-of-tensors';
  readonly embedder: Embedder;
  readonly scorer: Awaited<ReturnType<typeof loadScorer>> | undefined;
}

/** For each kind of value one entry for each record; null where it could not be computed. */
type ScoreColumns = Partial<Record<What, readonly (number | null | Float32Array)[]>>;

export async function run({ options, shared, signal, progress, result }: CommandContext): Promise<number> {
  const what = options.someOf('what', WHATS, ['loss']);
  const needsModel = what.some((w) => w !== 'toxicity' && !(w === 'embedding' && options.has('encoder')));
  if (!what.includes('embedding')) options.refuse(['encoder'], 'without --what embedding');
  const directory = needsModel ? options.required('model', 'to name a model folder') : options.text('model');
  const data = options.texts('data');
  if (!options.has('data')) options.problem('Expected --data to name the records, but it is missing.');
  const side = options.oneOf('text', ['chosen', 'rejected'] as const, 'chosen');
  const tokens = options.oneOf('tokens', ['completion', 'all'] as const, 'completion');
  const norm = options.oneOf('norm', ['global', 'sum-of-tensors'] as const, 'global');
  const weights = options.oneOf('weights', WEIGHT_STORAGES);
  const columnNames = options.columns('columns');
  const scorerSpec = await readScorer(options);
  const encoderPath = options.text('encoder');
  const out = options.text('out');
  if (out === undefined && !shared.json) options.problem('Expected --out to name a .jsonl or .npy file, or --json, but neither is given.');
  if (out !== undefined && !/\.(jsonl|npy)$/.test(out)) options.problem(`Expected --out to end in .jsonl or .npy but received "${out}".`);
  if (out?.endsWith('.npy') && what.length > 1)
    options.problem(`Expected a single --what for a .npy file but received ${what.join(', ')}; use .jsonl for several.`);
  await options.input(directory, 'folder', 'model');
  for (const path of data) await options.input(path, 'any', 'data');
  await options.input(encoderPath, 'folder', 'encoder');
  await options.output(out, 'file', 'out');
  const onProgress = (event: ProgressEvent) => progress.update(event);
  const loading = { backend: shared.backend, threads: shared.threads, signal, onProgress };
  const readable = options.problems.length === 0;
  const pairs = readable ? await options.attempt(() => readPairs(data, { signal, columns: columnNames, onProgress })) : undefined;
  const scorer = readable && what.includes('toxicity') ? await options.attempt(() => loadScorer(scorerSpec, loading)) : undefined;
  const records = await options.attempt(() => (pairs?.records ?? []).map((r) => (side === 'chosen' ? r : rejectedAsChosen(r))));
  options.finish();

  using model = needsModel ? await LanguageModel.load(directory as string, { ...loading, weights }) : null;
  const embedder = await loadEmbedder(encoderPath, loading);
  const request: ScoreRequest = { what, embedder, records: records ?? [], appendEos: pairs?.appendEos ?? false, tokens, norm, scorer };
  const columns = await computeScores(request, model, { signal, onProgress });
  embedder.encoder?.dispose();
  embedder.model?.dispose();
  scorer?.dispose?.();
  const rows = request.records.map((r, i) => ({
    id: r.id,
    ...Object.fromEntries(
      what.map((w) => {
        const value = columns[w]?.[i] ?? null;
        return [FIELDS[w], value instanceof Float32Array ? [...value] : value];
      }),
    ),
  }));
  if (out?.endsWith('.npy')) await writeColumn(out, what[0] as What, columns);
  else if (out !== undefined) await writeFileAtomic(out, rows.map((r) => `${JSON.stringify(r)}\n`).join(''));
  const text = [
    `${rows.length} records scored: ${what.join(', ')}`,
    ...what.flatMap((w) => meanLine(w, columns[w])),
    ...(out === undefined ? [] : [`file  ${out}`]),
  ].join('\n');
  result(
    {
      model: directory ?? null,
      modelHash: model?.hash ?? null,
      heldDtype: model?.summary.heldDtype ?? null,
      encoderHash: (embedder.encoder ?? embedder.model)?.hash ?? null,
      scorer: scorer?.identity ?? null,
      tokens,
      norm,
      text: side,
      out: out ?? null,
      records: rows,
    },
    text,
  );
  return 0;
}

async function computeScores(
  { what, records, appendEos, tokens, norm, scorer, embedder }: ScoreRequest,
  model: LanguageModel | null,
  run: RunOptions,
): Promise<ScoreColumns> {
  const columns: ScoreColumns = {};
  if (model && what.some((w) => w === 'loss' || w === 'el2n' || w === 'margin' || w === 'gradient-norm')) {
    const sequences = chosenSequences(model, records, appendEos, tokens);
    const norms = what.includes('gradient-norm') ? await model.gradientNorms(sequences, { ...run, scores: true }) : null;
    const scores = norms?.scores ?? (await model.score(sequences, run));
    for (const w of ['loss', 'el2n', 'margin'] as const) if (what.includes(w)) columns[w] = scores.map((s) => s[w]);
    if (norms) {
      const values = norm === 'global' ? norms.global : norms.sumOfTensorNorms;
      columns['gradient-norm'] = scores.map((s, i) => {
        const value = values[i] as number;
        return s.tokens > 0 && Number.isFinite(value) ? value : null;
      });
    }
  }
  if (what.includes('embedding')) {
    const by = { model: embedder.model ?? model ?? undefined, encoder: embedder.encoder };
    const { embeddings } = await computeFeatures({ records, appendEos }, ['embeddings'], { embeddings: by, ...run });
    if (embeddings) {
      const { data, columns: d } = embeddings.values;
      columns.embedding = records.map((_, i) => data.subarray(i * d, (i + 1) * d));
    }
  }
  if (scorer && what.includes('toxicity'))
    columns.toxicity = await textScoring(scorer)(
      records.map((r) => r.chosen),
      run,
    );
  return columns;
}

async function writeColumn(path: string, what: What, columns: ScoreColumns): Promise<void> {
  const column = columns[what] ?? [];
  if (what === 'embedding') {
    const d = (column[0] as Float32Array | undefined)?.length ?? 0;
    const data = new Float32Array(column.length * d);
    column.forEach((row, i) => {
      data.set(row as Float32Array, i * d);
    });
    await writeNpy(path, data, [column.length, d]);
    return;
  }
  await writeNpy(
    path,
    Float64Array.from(column, (v) => (v === null ? Number.NaN : (v as number))),
  );
}

function meanLine(what: What, column: ScoreColumns[What]): string[] {
  if (what === 'embedding') return [];
  const values = (column ?? []).filter((v): v is number => typeof v === 'number');
  const left = (column?.length ?? 0) - values.length;
  return values.length === 0
    ? []
    : [`mean ${what}  ${(values.reduce((a, b) => a + b, 0) / values.length).toPrecision(6)}${left > 0 ? ` (${left} without)` : ''}`];
}

/** The same record with the rejected text in the place that is scored. */
function rejectedAsChosen(record: PairRecord): PairRecord {
  if (record.rejected === null && record.rejectedIds === undefined)
    throw new MendsetError('invalid-data', `${record.source}: expected a rejected text to score but the record has none.`);
  const { rejectedIds, chosenIds: _, ...rest } = record;
  return { ...rest, chosen: record.rejected ?? '', rejected: null, ...(rejectedIds ? { chosenIds: rejectedIds } : {}) };
}
