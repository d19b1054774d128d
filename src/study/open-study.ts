import { MendsetError } from '../core/errors.ts';
import type { RunOptions } from '../core/run-options.ts';
import { checkStudyConfig } from './check-config.ts';
import type { StudyConfig } from './config.ts';
import { configError } from './config-issues.ts';
import { withFetchedPaths } from './hub-paths.ts';
import { planStudy, type StudyPlan } from './plan.ts';
import { readStudyInputs, type StudyInputs } from './study-inputs.ts';
import { pathProblems, withAbsolutePaths } from './study-paths.ts';
import { readYamlFile, type YamlFile } from './yaml-file.ts';

export interface OpenedStudy {
  /** As written, paths and all */
  readonly config: StudyConfig;
  readonly inputs: StudyInputs;
  readonly plan: StudyPlan;
}

/**
 * Reads a study file, checks the configuration and that its files exist, then what they hold, and plans the cells. What `hf:` names is
 * fetched; nothing is computed. Rejects with `invalid-config` or `invalid-data`, listing all mistakes of the file, then all of its data.
 */
export async function openStudy(path: string, options: RunOptions = {}): Promise<OpenedStudy> {
  const file = await readYamlFile(path);
  const config = await checkStudy(file);
  const inputs = await readStudyInputs(await withFetchedPaths(withAbsolutePaths(config, path), options), options);
  return { config, inputs, plan: planStudy(config, inputs.facts) };
}

/** The configuration; throws `invalid-config` with everything that is wrong with the file or with the paths in it. */
export async function checkStudy(file: YamlFile): Promise<StudyConfig> {
  const problems: string[] = [];
  let config: StudyConfig | null = null;
  try {
    config = checkStudyConfig(file);
  } catch (error) {
    if (!(error instanceof MendsetError) || error.code !== 'invalid-config') throw error;
    problems.push(...error.problems);
  }
  problems.push(...(await pathProblems(file)));
  if (config === null || problems.length > 0) throw configError(problems);
  return config;
}
