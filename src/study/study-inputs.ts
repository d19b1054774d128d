import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { MendsetError } from '../core/errors.ts';
import { sha256File, sha256Files, sha256Hex } from '../core/hash.ts';
import { type RunOptions, throwIfAborted } from '../core/run-options.ts';
import { buildPool } from '../data/build-pool.ts';
import { type PairSet, readPairs } from '../data/read-pairs.ts';
import { type PromptRecord, readPrompts } from '../data/read-prompts.ts';
import { readLambada, readTextRows, readTexts } from '../data/read-texts.ts';
import type { Pool } from '../data/record.ts';
import { loadScorer, scorerSpec } from '../evaluate/load-scorer.ts';
import type { ToxicityScorer } from '../evaluate/scorer.ts';
import type { StudyConfig } from './config.ts';
import { byToxicity, type StudyFacts, windowKey } from './plan.ts';

/** Everything a study reads, checked and in memory, except the models. */
export interface StudyInputs {
  /** With absolute paths */
  readonly config: StudyConfig;
  readonly pairs: PairSet;
  /** By `windowKey`; `all` and `auto` hold all training records */
  readonly pools: ReadonlyMap<string, Pool>;
  readonly normal: readonly string[] | null;
  readonly prompts: readonly PromptRecord[] | null;
  readonly rtpPrompts: readonly PromptRecord[] | null;
  readonly runningText: readonly string[] | null;
  readonly lastWord: readonly string[] | null;
  readonly scorer: ToxicityScorer | null;
  readonly facts: StudyFacts;
}

/** Reads and checks all data of a study; the configuration's paths must be absolute. Every bad file is named at once. */
export async function readStudyInputs(config: StudyConfig, options: RunOptions = {}): Promise<StudyInputs> {
  const { evaluation, pool } = config;
  const problems: string[] = [];
  const attempt = async <T>(work: () => Promise<T>): Promise<T | null> => {
    throwIfAborted(options.signal);
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof MendsetError) || error.code === 'aborted') throw error;
      problems.push(...(error.problems.length > 0 ? error.problems : [error.message]));
      return null;
    }
  };
  const limited = <T>(list: readonly T[] | null, limit: number | null | undefined) => (list && limit ? list.slice(0, limit) : list);

  const pairs = await attempt(() => readPairs(pool.files, { ...options, expand: pool.expand, columns: pool.columns }));
  const pools = new Map<string, Pool>();
  const windows = [...new Set([pool.window, ...config.overrides.flatMap((o) => o.window ?? [])])];
  if (pairs) {
    await attempt(async () => {
      for (const dataSeed of config.seeds)
        for (const window of windows)
          pools.set(
            windowKey(dataSeed, window),
            buildPool(pairs.records, {
              name: config.name,
              dataSeed,
              window: window === 'auto' ? 'all' : window,
              validation: pool.validation,
              dedupe: pool.dedupe,
              appendEos: pairs.appendEos,
              warnings: pairs.warnings,
            }),
          );
    });
  }
  const { normal: normalSource } = config;
  const normal =
    normalSource && 'file' in normalSource ? await attempt(async () => (await readTexts(normalSource.file, options)).texts) : null;
  const { toxicity, rtp, runningText: running, lastWord: last } = evaluation;
  const prompts = toxicity && limited(await attempt(async () => (await readPrompts(toxicity.prompts, options)).prompts), toxicity.limit);
  const rtpPrompts = rtp ? limited(await attempt(async () => (await readPrompts(rtp.prompts, options)).prompts), rtp.limit) : null;
  const runningText = running && (await attempt(async () => (await readTextRows(running.file, options)).rows));
  const lastWord = last && limited(await attempt(async () => (await readLambada(last.file, options)).texts), last.limit);
  const needsScorer = toxicity !== null || rtp !== undefined || config.selectors.some(byToxicity);
  const scorer = needsScorer
    ? await attempt(async () => loadScorer(await scorerSpec(evaluation.scorer, evaluation.scorerLabel), options))
    : null;

  const modelHashes: Record<string, string> = {};
  for (const model of config.models) {
    const hash = await attempt(() => modelHash(model.path));
    if (hash !== null) modelHashes[model.name] = hash;
  }
  const { encoder } = config;
  const encoderHash = encoder === undefined ? null : await attempt(() => embedderHash(encoder));
  const fileHashes: Record<string, string> = {};
  const hashFile = async (key: string, path: string | undefined) => {
    const hash = path === undefined ? null : await attempt(() => sha256File(path));
    if (hash !== null) fileHashes[key] = hash;
  };
  if (problems.length === 0) {
    await hashFile('normal', normalSource && 'file' in normalSource ? normalSource.file : undefined);
    await hashFile('prompts', toxicity?.prompts);
    await hashFile('rtp', rtp?.prompts);
    await hashFile('runningText', running?.file);
    await hashFile('lastWord', last?.file);
    if (scorer) fileHashes['scorer'] = scorer.identity.weightsHash;
    if (normalSource && 'generate' in normalSource) fileHashes['normal'] = `generate ${normalSource.generate}`;
  }
  if (problems.length > 0) {
    const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
    throw new MendsetError('invalid-data', `${problems[0]}${more}`, { problems });
  }
  const sizes = Object.fromEntries([...pools].map(([key, p]) => [key, { hash: p.hash, size: p.records.length }]));
  const facts: StudyFacts = {
    modelHashes,
    fileHashes,
    ...(encoderHash === null ? {} : { encoderHash }),
    pools: Object.fromEntries(config.seeds.map((seed) => [seed, sizes[windowKey(seed, pool.window)] as (typeof sizes)[string]])),
    ...(windows.length > 1 ? { windows: sizes } : {}),
  };
  return { config, pairs: pairs as PairSet, pools, normal, prompts, rtpPrompts, runningText, lastWord, scorer, facts };
}

/** SHA-256 over a model folder's configuration, weights and tokenizer, by file name. */
export async function modelHash(directory: string): Promise<string> {
  const names = (await readdir(directory))
    .filter((name) => /^(config\.json|.*\.safetensors|.*\.safetensors\.index\.json|tokenizer\.json|vocab\.json|merges\.txt)$/.test(name))
    .sort();
  if (!names.includes('config.json'))
    throw new MendsetError('not-found', `Expected config.json in the model folder '${directory}' but there is none.`);
  if (!names.some((n) => n.endsWith('.safetensors')))
    throw new MendsetError('not-found', `Expected model.safetensors (or shards) in the model folder '${directory}' but there is none.`);
  return sha256Files(names.map((name) => join(directory, name)));
}

/** SHA-256 over everything of an encoder's folder that decides a vector: configuration, modules, tokenizer and weights, by file name. */
async function embedderHash(directory: string): Promise<string> {
  const names = (await readdir(directory, { recursive: true })).map((name) => name.replaceAll('\\', '/'));
  const used = names.filter((name) => /^(\d+_\w+\/)?[^/]+\.(json|txt|safetensors)$/.test(name)).sort();
  if (used.length === 0)
    throw new MendsetError('not-found', `Expected an encoder in the folder '${directory}' but it has no files of one.`);
  return sha256Hex([JSON.stringify(used), await sha256Files(used.map((name) => join(directory, name)))]);
}
