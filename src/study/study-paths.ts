import { access, constants } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { pathKind } from '../core/files.ts';
import { packageRoot } from '../core/package-root.ts';
import type { StudyConfig } from './config.ts';
import { configError } from './config.ts';
import type { YamlFile } from './yaml-file.ts';

/** `demo:x` is x in the demo data that come with the package; anything else is relative to the configuration file. */
export function resolveStudyPath(path: string, configFile: string): string {
  if (path.startsWith('demo:')) return join(packageRoot(), 'assets', 'demo', path.slice('demo:'.length));
  return isAbsolute(path) ? path : resolve(dirname(configFile), path);
}

/** The same configuration with every path absolute. */
export function withAbsolutePaths(config: StudyConfig, configFile: string): StudyConfig {
  const at = (path: string) => resolveStudyPath(path, configFile);
  const { toxicity, runningText, lastWord, scorer } = config.evaluation;
  return {
    ...config,
    models: config.models.map((m) => ({ ...m, path: at(m.path) })),
    pool: { ...config.pool, files: config.pool.files.map(at) },
    normal: config.normal && 'file' in config.normal ? { file: at(config.normal.file) } : config.normal,
    evaluation: {
      ...config.evaluation,
      toxicity: toxicity && { ...toxicity, prompts: at(toxicity.prompts) },
      runningText: runningText && { ...runningText, file: at(runningText.file) },
      lastWord: lastWord && { ...lastWord, file: at(lastWord.file) },
      scorer: scorer === 'builtin' ? scorer : at(scorer),
    },
  };
}

/** Rejects with `invalid-config` listing every file and folder of the study that does not exist or cannot be read. */
export async function checkStudyFiles(config: StudyConfig, file: YamlFile): Promise<void> {
  const { evaluation } = config;
  const wanted: [string, 'file' | 'folder' | 'any', PropertyKey[]][] = [
    ...config.models.map((m, i): [string, 'folder', PropertyKey[]] => [m.path, 'folder', ['models', i]]),
    ...config.pool.files.map((f, i): [string, 'any', PropertyKey[]] => [f, 'any', ['pool', 'files', i]]),
  ];
  if (config.normal && 'file' in config.normal) wanted.push([config.normal.file, 'file', ['normal']]);
  if (evaluation.toxicity) wanted.push([evaluation.toxicity.prompts, 'file', ['evaluation', 'toxicity', 'prompts']]);
  if (evaluation.runningText) wanted.push([evaluation.runningText.file, 'file', ['evaluation', 'runningText', 'file']]);
  if (evaluation.lastWord) wanted.push([evaluation.lastWord.file, 'file', ['evaluation', 'lastWord', 'file']]);
  if (evaluation.scorer !== 'builtin') wanted.push([evaluation.scorer, 'file', ['evaluation', 'scorer']]);
  const problems: string[] = [];
  for (const [path, kind, keys] of wanted) {
    const absolute = resolveStudyPath(path, file.path);
    const found = await pathKind(absolute).catch(() => 'none' as const);
    const place = `${file.where(keys)}: ${keys.join('.')}`;
    if (found === 'none')
      problems.push(`${place}: expected a ${kind === 'folder' ? 'folder' : 'file'} that exists but there is none at '${absolute}'.`);
    else if (kind !== 'any' && found !== kind) problems.push(`${place}: expected a ${kind} but '${absolute}' is a ${found}.`);
    else
      await access(absolute, constants.R_OK).catch(() =>
        problems.push(`${place}: expected something readable but '${absolute}' may not be read; check its permissions.`),
      );
  }
  if (problems.length > 0) throw configError(problems);
}
