import type { RunOptions } from '../core/run-options.ts';
import { dataPath } from '../data/hub/data-path.ts';
import { modelFolder } from '../data/hub/model-folder.ts';
import type { StudyConfig } from './config.ts';

/** The same configuration with every `hf:` name fetched into the cache of the Hub and replaced by where it lies there. */
export async function withFetchedPaths(config: StudyConfig, options: RunOptions): Promise<StudyConfig> {
  const { toxicity, rtp, runningText, lastWord } = config.evaluation;
  const model = async (path: string): Promise<string> => modelFolder(path, options);
  const data = async (path: string): Promise<string> => dataPath(path, options);
  const models = [];
  for (const entry of config.models) models.push({ ...entry, path: await model(entry.path) });
  const files = [];
  for (const file of config.pool.files) files.push(await data(file));
  return {
    ...config,
    models,
    pool: { ...config.pool, files },
    ...(config.encoder === undefined ? {} : { encoder: await model(config.encoder) }),
    normal: config.normal && 'file' in config.normal ? { file: await data(config.normal.file) } : config.normal,
    evaluation: {
      ...config.evaluation,
      toxicity: toxicity && { ...toxicity, prompts: await data(toxicity.prompts) },
      ...(rtp ? { rtp: { ...rtp, prompts: await data(rtp.prompts) } } : {}),
      runningText: runningText && { ...runningText, file: await data(runningText.file) },
      lastWord: lastWord && { ...lastWord, file: await data(lastWord.file) },
    },
  };
}
