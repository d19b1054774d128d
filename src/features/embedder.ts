import { modelFolder } from '../data/hub/model-folder.ts';
import { LanguageModel } from '../model/language-model.ts';
import type { LoadOptions } from '../model/load-weights.ts';
import { isEncoderFolder, SentenceEncoder } from '../model/sentence-encoder.ts';

/** What `--encoder` names: a sentence encoder, or a language model whose mean-pooled hidden states are the embeddings. */
export interface Embedder {
  readonly model?: LanguageModel;
  readonly encoder?: SentenceEncoder;
}

export async function loadEmbedder(path: string | undefined, options: LoadOptions): Promise<Embedder> {
  if (path === undefined) return {};
  const directory = await modelFolder(path, options);
  return (await isEncoderFolder(directory))
    ? { encoder: await SentenceEncoder.load(directory, options) }
    : { model: await LanguageModel.load(directory, options) };
}
