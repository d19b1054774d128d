import type { BackendName } from '../model/load-weights.ts';
import { EngineExecutor } from './engine-executor.ts';
import { openStudy } from './open-study.ts';
import { type RunStudyOptions, runPlannedStudy, type StudySummary } from './run-study.ts';

/**
 * Runs the study of a YAML file into a folder; called again after an interruption it goes on with the first cell that is missing.
 *
 * @param path the study file
 * @returns the results of all its cells, and which failed
 * @throws MendsetError `invalid-config` and `invalid-data` before any work; `aborted` when the signal fires
 * @example
 * const { results } = await runStudy('examples/quickstart.yaml', { directory: 'quickstart-out' });
 */
export async function runStudy(
  path: string,
  options: RunStudyOptions & { readonly backend?: BackendName; readonly threads?: number },
): Promise<StudySummary> {
  const { inputs, plan } = await openStudy(path, { signal: options.signal });
  const executor = new EngineExecutor(inputs, options);
  try {
    return await runPlannedStudy(plan, executor, options);
  } finally {
    executor.dispose();
    inputs.scorer?.dispose?.();
  }
}
