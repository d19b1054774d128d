import { basename, dirname, join, resolve } from 'node:path';

import { MendsetError } from '../core/errors.ts';
import { sha256Files, sha256Hex } from '../core/hash.ts';
import { type RunOptions, throwIfAborted } from '../core/run-options.ts';
import { modelFolder } from '../data/hub/model-folder.ts';
import { readJsonFile } from '../model/json-file.ts';
import type { ToxicityScorer } from './scorer.ts';
import { toxicityLabels } from './toxicity-labels.ts';

/** What is used of `@huggingface/transformers`. */
export interface TransformersLibrary {
  readonly env: { version?: string; allowRemoteModels: boolean; allowLocalModels: boolean; localModelPath: string };
  pipeline(
    task: 'text-classification',
    model: string,
    options: { readonly dtype: 'fp32'; readonly local_files_only: true },
  ): Promise<(texts: string[], options: { readonly top_k: null }) => Promise<{ label: string; score: number }[][]>>;
}

const library = '@huggingface/transformers';
const textsAtOnce = 32;

/**
 * A classifier in ONNX form run by `@huggingface/transformers`, a package that users install themselves: a folder (or `hf:owner/name`) with
 * config.json, tokenizer files and `onnx/model.onnx`, such as Xenova/toxic-bert. Nothing is fetched by that package itself.
 *
 * @throws MendsetError `unsupported` with the line that installs the package, `invalid-argument` where the labels do not say which means toxicity
 */
export async function onnxScorer(
  path: string,
  options: RunOptions & { readonly label?: string | undefined; readonly load?: () => Promise<TransformersLibrary> } = {},
): Promise<ToxicityScorer> {
  const { env, pipeline } = await (options.load ?? loadLibrary)();
  const directory = resolve(await modelFolder(path, { ...options, part: 'onnx' }));
  const config = (await readJsonFile(join(directory, 'config.json'))) as { id2label?: Record<string, string>; problem_type?: unknown };
  const labels = Object.entries(config.id2label ?? {})
    .sort(([a], [b]) => Number(a) - Number(b))
    .map(([, label]) => label);
  if (labels.length === 0)
    throw new MendsetError('corrupt', `Expected id2label in '${join(directory, 'config.json')}' but there is none; is it a classifier?`);
  const activation = config.problem_type === 'multi_label_classification' ? 'sigmoid' : 'softmax';
  const name = path.startsWith('hf:') ? path.slice('hf:'.length) : basename(directory);
  const chosen = toxicityLabels(labels, activation, options.label, name);
  const hash = await sha256Files([
    join(directory, 'config.json'),
    join(directory, 'tokenizer.json'),
    join(directory, 'onnx', 'model.onnx'),
  ]);
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = dirname(directory);
  const classify = await pipeline('text-classification', basename(directory), { dtype: 'fp32', local_files_only: true });
  return {
    identity: {
      name: `onnx:${name}`,
      version: `transformers.js ${env.version ?? 'unknown'}`,
      weightsHash: sha256Hex([hash, JSON.stringify([chosen, activation, env.version ?? null])]),
      labels: chosen.map(({ label }) => label),
      activation,
    },
    async score(texts, run = {}) {
      const scores: (Readonly<Record<string, number>> | null)[] = [];
      for (let first = 0; first < texts.length; first += textsAtOnce) {
        throwIfAborted(run.signal);
        const part = texts.slice(first, first + textsAtOnce);
        // Without top_k the best label alone comes back
        for (const row of await classify(part, { top_k: null })) {
          const byLabel = new Map(row.map(({ label, score }) => [label, score]));
          const values = chosen.map(({ label }) => [label, byLabel.get(label)] as const);
          scores.push(values.every(([, value]) => value !== undefined) ? (Object.fromEntries(values) as Record<string, number>) : null);
        }
        run.onProgress?.({ phase: 'toxicity', done: Math.min(first + textsAtOnce, texts.length), total: texts.length });
      }
      return scores;
    },
  };
}

async function loadLibrary(): Promise<TransformersLibrary> {
  // Through a variable, since the package is not among the dependencies
  const name: string = library;
  try {
    return (await import(name)) as TransformersLibrary;
  } catch (error) {
    throw new MendsetError(
      'unsupported',
      `Expected the package ${library} for an ONNX scorer but it cannot be loaded (${(error as NodeJS.ErrnoException).code ?? (error as Error).message}): install it (ONNXRUNTIME_NODE_INSTALL=skip npm install ${library}), or use a classifier with safetensors, which needs no package.`,
      { cause: error },
    );
  }
}
