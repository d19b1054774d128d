import { writeFileAtomic } from '../../core/files.ts';
import type { ProgressEvent } from '../../core/run-options.ts';
import { readPrompts } from '../../data/read-prompts.ts';
import { encodePrompts } from '../../evaluate/prompts.ts';
import { LanguageModel } from '../../model/language-model.ts';
import { WEIGHT_STORAGES } from '../../model/load-weights.ts';
import type { CommandContext } from '../command-context.ts';

export async function run({ options, shared, signal, progress, result }: CommandContext): Promise<number> {
  const directory = options.required('model', 'to name a model folder');
  const weights = options.oneOf('weights', WEIGHT_STORAGES);
  const promptsPath = options.required('prompts', 'to name a file of prompts');
  const out = options.text('out');
  const maxNewTokens = options.count('maxNewTokens', 1) ?? 20;
  const greedy = options.flag('greedy');
  const topP = options.number('topP', { above: 0, max: 1 });
  const topK = options.count('topK');
  const temperature = options.number('temperature', { above: 0 });
  const samples = options.count('samples', 1, 1024) ?? 1;
  if (greedy) options.refuse(['topP', 'topK', 'temperature', 'samples'], 'with --greedy, which draws nothing');
  await options.input(directory, 'folder', 'model');
  await options.input(promptsPath, 'file', 'prompts');
  await options.output(out, 'file', 'out');
  const columns = options.columns('columns');
  const onProgress = (event: ProgressEvent) => progress.update(event);
  const read =
    options.problems.length === 0 ? await options.attempt(() => readPrompts(promptsPath, { signal, columns, onProgress })) : undefined;
  options.finish();
  const prompts = read?.prompts ?? [];
  using model = await LanguageModel.load(directory, {
    backend: shared.backend,
    threads: shared.threads,
    weights,
    signal,
    onProgress,
  });
  const encoded = encodePrompts(
    model,
    prompts.map((p) => p.ids ?? p.text),
    model.summary.context,
    prompts.map((p) => p.source),
  );
  const completions = await model.generate(encoded, {
    maxNewTokens,
    greedy,
    ...(topP === undefined ? {} : { topP }),
    ...(topK === undefined ? {} : { topK }),
    ...(temperature === undefined ? {} : { temperature }),
    seed: shared.seed ?? 0,
    samples,
    signal,
    onProgress: (event) => progress.update(event),
  });
  const rows = completions.map((c, i) => {
    const prompt = prompts[Math.floor(i / samples)];
    return {
      ...(prompt?.id === undefined ? {} : { id: prompt.id }),
      ...(prompt?.ids ? { prompt_ids: prompt.ids } : { prompt: prompt?.text }),
      ...(samples > 1 ? { sample: i % samples } : {}),
      ...(model.tokenizer ? { completion: model.tokenizer.decode(c.ids) } : {}),
      completion_ids: [...c.ids],
      stopped: c.stopped,
    };
  });
  const lines = rows.map((r) => `${JSON.stringify(r)}\n`).join('');
  if (out !== undefined) await writeFileAtomic(out, lines);
  const document = {
    model: directory,
    modelHash: model.hash,
    backend: model.summary.backend,
    heldDtype: model.summary.heldDtype,
    greedy,
    maxNewTokens,
    seed: shared.seed ?? 0,
    out: out ?? null,
    completions: rows,
  };
  result(document, out === undefined ? lines : `${rows.length} completions of ${prompts.length} prompts\nfile  ${out}`);
  return 0;
}
