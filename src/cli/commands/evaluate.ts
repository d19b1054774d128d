import { writeFileAtomic } from '../../core/files.ts';
import type { ProgressEvent } from '../../core/run-options.ts';
import { readNpyIds } from '../../data/npy.ts';
import { readPrompts } from '../../data/read-prompts.ts';
import { readLambada, readTextRows } from '../../data/read-texts.ts';
import { evaluate } from '../../evaluate/evaluate.ts';
import { loadScorer } from '../../evaluate/load-scorer.ts';
import { encodePrompts } from '../../evaluate/prompts.ts';
import { LanguageModel } from '../../model/language-model.ts';
import { WEIGHT_STORAGES } from '../../model/load-weights.ts';
import { textTable } from '../../report/text-table.ts';
import type { CommandContext } from '../command-context.ts';
import { readScorer } from '../read-scorer.ts';

const INPUTS = ['prompts', 'rtp', 'wikitext', 'lambada', 'tokenIds'] as const;

export async function run({ options, shared, signal, progress, result }: CommandContext): Promise<number> {
  const directory = options.required('model', 'to name a model folder');
  const weights = options.oneOf('weights', WEIGHT_STORAGES);
  const paths = Object.fromEntries(INPUTS.map((name) => [name, options.text(name)])) as Record<(typeof INPUTS)[number], string | undefined>;
  if (INPUTS.every((name) => !options.has(name)))
    options.problem('Expected at least one of --prompts, --rtp, --wikitext, --lambada, --token-ids, but none is given.');
  const columns = options.columns('columns');
  const scorerSpec = await readScorer(options);
  const out = options.text('out');
  const window = options.countOr('window', ['model'] as const, 2);
  const stride = options.count('stride', 1);
  const maxNewTokens = options.count('maxNewTokens', 1);
  const limit = options.count('limit', 1);
  const preset = options.oneOf('preset', ['principled', 'paper'] as const, 'principled');
  const weighting = options.oneOf('weighting', ['principled', 'paper', 'hugging-face'] as const);
  const start = options.oneOf('start', ['none', 'text'] as const);
  const samples = options.count('samples', 1);
  const seedCount = options.count('seeds', 1);
  if (stride !== undefined && typeof window === 'number' && stride > window)
    options.problem(`Expected --stride of at most the window of ${window} but received ${stride}.`);
  await options.input(directory, 'folder', 'model');
  for (const name of INPUTS) await options.input(paths[name], 'file', name);
  await options.output(out, 'file', 'out');
  const onProgress = (event: ProgressEvent) => progress.update(event);
  const readable = options.problems.length === 0;
  const read = <T>(path: string | undefined, work: (path: string) => Promise<T>) =>
    readable && path !== undefined ? options.attempt(() => work(path)) : undefined;
  const prompts = await read(paths.prompts, async (p) => (await readPrompts(p, { signal, columns, onProgress })).prompts);
  const rtp = await read(paths.rtp, async (p) => (await readPrompts(p, { signal, columns, onProgress })).prompts);
  const wikitext = await read(paths.wikitext, async (p) => (await readTextRows(p, { signal, onProgress })).rows);
  const lambada = await read(paths.lambada, async (p) => (await readLambada(p, { signal, onProgress })).texts);
  const tokenIds = await read(paths.tokenIds, async (p) => (await readNpyIds(p)).ids);
  const scorer =
    readable && (prompts || rtp)
      ? await options.attempt(() => loadScorer(scorerSpec, { backend: shared.backend, threads: shared.threads, signal, onProgress }))
      : undefined;
  options.finish();

  const first = <T>(list: readonly T[] | undefined) => (limit === undefined ? list : list?.slice(0, limit));
  const asPrompts = (list: typeof prompts) => first(list)?.map((p) => p.ids ?? p.text);
  using model = await LanguageModel.load(directory, {
    backend: shared.backend,
    threads: shared.threads,
    weights,
    signal,
    onProgress,
  });
  for (const list of [first(prompts), first(rtp)])
    if (list && model.tokenizer)
      encodePrompts(
        model,
        list.map((p) => p.ids ?? p.text),
        model.summary.context,
        list.map((p) => p.source),
      );
  const evaluation = await evaluate(model, {
    prompts: asPrompts(prompts),
    rtpPrompts: asPrompts(rtp),
    scorer,
    toxicity: { maxNewTokens, seed: shared.seed },
    rtp: {
      seed: shared.seed,
      samples,
      ...(seedCount === undefined ? {} : { seeds: Array.from({ length: seedCount }, (_, i) => (shared.seed ?? 0) + i) }),
    },
    runningText: wikitext,
    lambada: first(lambada),
    tokenIds,
    perplexity: { window, stride, weighting: weighting ?? preset, start },
    signal,
    onProgress,
  });
  scorer?.dispose?.();
  if (out !== undefined) await writeFileAtomic(out, `${JSON.stringify(evaluation, null, 2)}\n`);
  for (const warning of evaluation.warnings) progress.log(`warning: ${warning}`);
  const rows = evaluation.figures.map((f) => [
    f.name,
    f.value === null ? '–' : f.value.toPrecision(6),
    f.interval ? `${f.interval.low.toPrecision(4)} to ${f.interval.high.toPrecision(4)}` : '–',
    Object.entries(f.counts)
      .map(([name, count]) => `${name} ${count}`)
      .join(', '),
    f.convention,
  ]);
  result(
    evaluation,
    `${textTable(['figure', 'value', '95 % interval', 'computed from', 'convention'], rows, {
      left: 5,
    })}${out === undefined ? '' : `\nfile  ${out}`}`,
  );
  return 0;
}
