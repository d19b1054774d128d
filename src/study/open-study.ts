import type { RunOptions } from '../core/run-options.ts';
import { checkStudyConfig, type StudyConfig } from './config.ts';
import { planStudy, type StudyPlan } from './plan.ts';
import { readStudyInputs, type StudyInputs } from './study-inputs.ts';
import { checkStudyFiles, withAbsolutePaths } from './study-paths.ts';
import { readYamlFile } from './yaml-file.ts';

export interface OpenedStudy {
  /** As written, paths and all */
  readonly config: StudyConfig;
  readonly inputs: StudyInputs;
  readonly plan: StudyPlan;
}

/**
 * Reads a study file, checks the configuration, then that its files exist, then what they hold, and plans the cells. Nothing is
 * computed. Rejects with `invalid-config` or `invalid-data`, listing all mistakes of the first stage that has any.
 */
export async function openStudy(path: string, options: RunOptions = {}): Promise<OpenedStudy> {
  const file = await readYamlFile(path);
  const config = checkStudyConfig(file);
  await checkStudyFiles(config, file);
  const inputs = await readStudyInputs(withAbsolutePaths(config, path), options);
  return { config, inputs, plan: planStudy(config, inputs.facts) };
}
