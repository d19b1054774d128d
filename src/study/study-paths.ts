import { access, constants } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { pathKind } from '../core/files.ts';
import { packageRoot } from '../core/package-root.ts';
import { isHubName, parseHubName } from '../data/hub/hub-name.ts';
import { withScorerPath } from '../evaluate/load-scorer.ts';
import type { StudyConfig } from './config.ts';
import { pathName } from './config-issues.ts';
import type { YamlFile } from './yaml-file.ts';

/** `demo:x` is x in the demo data that come with the package, `hf:x` stays; anything else is relative to the configuration file. */
export function resolveStudyPath(path: string, configFile: string): string {
  if (isHubName(path)) return path;
  if (path.startsWith('demo:')) return join(packageRoot(), 'assets', 'demo', path.slice('demo:'.length));
  return isAbsolute(path) ? path : resolve(dirname(configFile), path);
}

/** The same configuration with every path absolute. */
export function withAbsolutePaths(config: StudyConfig, configFile: string): StudyConfig {
  const at = (path: string) => resolveStudyPath(path, configFile);
  const { toxicity, rtp, runningText, lastWord, scorer } = config.evaluation;
  return {
    ...config,
    models: config.models.map((m) => ({ ...m, path: at(m.path) })),
    pool: { ...config.pool, files: config.pool.files.map(at) },
    ...(config.encoder === undefined ? {} : { encoder: at(config.encoder) }),
    normal: config.normal && 'file' in config.normal ? { file: at(config.normal.file) } : config.normal,
    evaluation: {
      ...config.evaluation,
      toxicity: toxicity && { ...toxicity, prompts: at(toxicity.prompts) },
      ...(rtp ? { rtp: { ...rtp, prompts: at(rtp.prompts) } } : {}),
      runningText: runningText && { ...runningText, file: at(runningText.file) },
      lastWord: lastWord && { ...lastWord, file: at(lastWord.file) },
      scorer: withScorerPath(scorer, at),
    },
  };
}

/**
 * Every file and folder that a study file names and that does not exist or cannot be read, one sentence each. Reads the value as it
 * was written, so that these mistakes are told together with those of a configuration that is wrong elsewhere.
 */
export async function pathProblems(file: YamlFile): Promise<string[]> {
  const wanted: [path: unknown, kind: 'file' | 'folder' | 'any', keys: PropertyKey[]][] = [];
  const add = (keys: PropertyKey[], kind: 'file' | 'folder' | 'any') => wanted.push([at(file.value, keys), kind, keys]);
  const each = (keys: PropertyKey[], visit: (keys: PropertyKey[]) => void) => {
    const value = at(file.value, keys);
    if (Array.isArray(value)) for (const i of value.keys()) visit([...keys, i]);
    else visit(keys);
  };
  const shorthand = (keys: PropertyKey[], key: string, kind: 'file' | 'folder') =>
    add(typeof at(file.value, keys) === 'string' ? keys : [...keys, key], kind);
  each(['models'], (keys) => shorthand(keys, 'path', 'folder'));
  each(['pool', 'files'], (keys) => add(keys, 'any'));
  shorthand(['normal'], 'file', 'file');
  shorthand(['evaluation', 'toxicity'], 'prompts', 'file');
  shorthand(['evaluation', 'rtp'], 'prompts', 'file');
  shorthand(['evaluation', 'runningText'], 'file', 'file');
  shorthand(['evaluation', 'lastWord'], 'file', 'file');
  add(['encoder'], 'folder');
  const scorer = at(file.value, ['evaluation', 'scorer']);
  if (typeof scorer === 'string' && scorer !== 'builtin') wanted.push([scorer.replace(/^onnx:/, ''), 'any', ['evaluation', 'scorer']]);
  const problems: string[] = [];
  for (const [path, kind, keys] of wanted) {
    if (typeof path !== 'string' || path.trim() === '') continue;
    const place = `${file.where(keys)}: ${pathName(keys)}`;
    if (isHubName(path)) {
      // What the Hub holds is known when it is fetched; whether it is a name is known now
      try {
        parseHubName(path);
      } catch (error) {
        problems.push(`${place}: ${(error as Error).message}`);
      }
      continue;
    }
    const absolute = resolveStudyPath(path, file.path);
    const found = await pathKind(absolute).catch(() => 'none' as const);
    if (found === 'none')
      problems.push(`${place}: expected a ${kind === 'folder' ? 'folder' : 'file'} that exists but there is none at '${absolute}'.`);
    else if (kind !== 'any' && found !== kind) problems.push(`${place}: expected a ${kind} but '${absolute}' is a ${found}.`);
    else
      await access(absolute, constants.R_OK).catch(() =>
        problems.push(`${place}: expected something readable but '${absolute}' may not be read; check its permissions.`),
      );
  }
  return problems;
}

/** The value at a path of keys; undefined where the file says something else. */
function at(value: unknown, keys: readonly PropertyKey[]): unknown {
  return keys.reduce<unknown>(
    (part, key) => (typeof part === 'object' && part !== null ? (part as Record<PropertyKey, unknown>)[key] : undefined),
    value,
  );
}
