import { join, normalize } from 'node:path';
import { MendsetError } from '../core/errors.ts';
import { readJsonFile } from './json-file.ts';

/** How a text's hidden states become one vector; the names of sentence-transformers. */
export type Pooling = 'mean' | 'cls' | 'lasttoken';

/** What a sentence-transformers folder says beside its weights. */
export interface SentenceConfig {
  readonly pooling: Pooling;
  readonly normalize: boolean;
  /** Most word pieces of a text, special tokens included; null when the folder states none */
  readonly maxTokens: number | null;
  /** Folder of config.json and weights, relative to the model's own; '' = itself */
  readonly weightsPath: string;
}

/** Keys of the pooling module's older configuration, and what they stand for. */
const OLD_MODES: Readonly<Record<string, string>> = {
  pooling_mode_cls_token: 'cls',
  pooling_mode_max_tokens: 'max',
  pooling_mode_mean_tokens: 'mean',
  pooling_mode_mean_sqrt_len_tokens: 'mean_sqrt_len_tokens',
  pooling_mode_weightedmean_tokens: 'weightedmean',
  pooling_mode_lasttoken: 'lasttoken',
};

/**
 * Reads modules.json, the pooling module's configuration and the length limit. A folder without modules.json is taken as
 * sentence-transformers takes it: mean pooling, not normalised.
 *
 * Rejects with `unsupported` for other modules than Transformer, Pooling and Normalize and for other poolings.
 */
export async function readSentenceConfig(directory: string): Promise<SentenceConfig> {
  const path = join(directory, 'modules.json');
  const modules = await readJsonFile(path, { optional: true });
  if (modules === null) return { pooling: 'mean', normalize: false, maxTokens: await readMaxTokens(directory, ''), weightsPath: '' };
  if (!Array.isArray(modules)) throw new MendsetError('corrupt', `Expected ${path} to hold a list of modules.`);
  let pooling: Pooling | undefined;
  let normalized = false;
  let weightsPath: string | undefined;
  for (const module of modules as { type?: unknown; path?: unknown }[]) {
    const type = String(module?.type).split('.').at(-1);
    const place = subfolder(path, module?.path);
    if (type === 'Transformer' && weightsPath === undefined) weightsPath = place;
    else if (type === 'Pooling' && weightsPath !== undefined && pooling === undefined) pooling = await readPooling(directory, place);
    else if (type === 'Normalize' && pooling !== undefined) normalized = true;
    else {
      throw new MendsetError(
        'unsupported',
        `${path} has the module ${String(module?.type)} at place ${modules.indexOf(module)}; supported are Transformer, Pooling and an optional Normalize, in this order.`,
      );
    }
  }
  if (weightsPath === undefined || pooling === undefined)
    throw new MendsetError('corrupt', `Expected ${path} to name a Transformer and a Pooling module.`);
  return { pooling, normalize: normalized, maxTokens: await readMaxTokens(directory, weightsPath), weightsPath };
}

/** A module's folder may only lie inside the model's. */
function subfolder(path: string, value: unknown): string {
  if (typeof value === 'string' && !value.includes('\\') && !/^([/]|[a-z]:)/i.test(value) && !normalize(`./${value}`).startsWith('..'))
    return value;
  throw new MendsetError('corrupt', `${path}: expected the path of a folder inside the model but found ${JSON.stringify(value)}.`);
}

async function readPooling(directory: string, place: string): Promise<Pooling> {
  const path = join(directory, place, 'config.json');
  const config = (await readJsonFile(path)) as Record<string, unknown>;
  const listed = config['pooling_mode'];
  const old = Object.keys(OLD_MODES).filter((key) => config[key] === true);
  const modes = listed !== undefined ? [listed].flat().map(String) : old.map((key) => OLD_MODES[key] as string);
  const mode = modes.length === 0 ? 'mean' : modes.join(' and ');
  if (mode === 'mean' || mode === 'cls' || mode === 'lasttoken') return mode;
  throw new MendsetError(
    'unsupported',
    `${path}: the pooling ${mode} is not supported; supported are mean, cls and lasttoken, one at a time.`,
  );
}

async function readMaxTokens(directory: string, weightsPath: string): Promise<number | null> {
  for (const [file, key] of [
    ['sentence_bert_config.json', 'max_seq_length'],
    ['tokenizer_config.json', 'model_max_length'],
  ] as const) {
    const config = (await readJsonFile(join(directory, weightsPath, file), { optional: true })) as Record<string, unknown> | null;
    const value = config?.[key];
    if (typeof value === 'number' && value >= 1) return Math.min(Math.floor(value), Number.MAX_SAFE_INTEGER);
  }
  return null;
}
