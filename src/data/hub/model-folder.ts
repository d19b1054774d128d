import { MendsetError } from '../../core/errors.ts';
import { type FetchOptions, fetchSnapshot, isThere, shardsOf, type Wanted } from './fetch-snapshot.ts';
import { isHubName, parseHubName } from './hub-name.ts';

/** What is read of a model's folder: configuration, tokenizer, the modules of a sentence encoder; never pickles, which are programs. */
const parts = new RegExp(
  `^(\\d+_\\w+/)?(${[
    'config',
    'generation_config',
    'tokenizer',
    'tokenizer_config',
    'special_tokens_map',
    'added_tokens',
    'vocab',
    'modules',
    'sentence_bert_config',
    'config_sentence_transformers',
  ].join('|')})\\.json$|^(\\d+_\\w+/)?(merges\\.txt|vocab\\.txt|chat_template\\.jinja|tokenizer\\.model)$`,
);
const weights = /^(\d+_\w+\/)?model\.safetensors$/;
const index = /^(\d+_\w+\/)?model\.safetensors\.index\.json$/;

const model: Wanted = {
  choose(files, repository) {
    if (!files.includes('config.json') && !files.includes('modules.json'))
      throw new MendsetError('not-found', `Expected config.json in ${repository} but it is not there; is it a model?`);
    const whole = files.filter((file) => weights.test(file));
    const found = whole.length > 0 ? whole : files.filter((file) => index.test(file));
    if (found.length === 0) {
      const others = files.filter((file) => /\.(safetensors|bin|pt|h5|msgpack|gguf|onnx|ckpt)$/.test(file));
      throw new MendsetError(
        'unsupported',
        `Expected model.safetensors (or its index) in ${repository} but it has ${others.length === 0 ? 'no weights' : others.slice(0, 4).join(', ')}; convert it with transformers (save_pretrained) and name the folder.`,
      );
    }
    return [...files.filter((file) => parts.test(file)), ...found];
  },
  async more(folder, files) {
    if (files.some((file) => weights.test(file))) return [];
    const shards: string[] = [];
    for (const file of files.filter((name) => index.test(name))) {
      for (const shard of await shardsOf(folder, file)) {
        if (!files.includes(shard))
          throw new MendsetError('corrupt', `Expected the shard ${shard} that ${file} names but the repository lacks it.`);
        shards.push(shard);
      }
    }
    return shards;
  },
  async missing(folder) {
    if (!(await isThere(folder, 'config.json')) && !(await isThere(folder, 'modules.json'))) return ['config.json'];
    for (const place of ['', '0_Transformer/']) {
      if (await isThere(folder, `${place}model.safetensors`)) return [];
      if (!(await isThere(folder, `${place}model.safetensors.index.json`))) continue;
      const lacking: string[] = [];
      for (const shard of await shardsOf(folder, `${place}model.safetensors.index.json`))
        if (!(await isThere(folder, shard))) lacking.push(shard);
      return lacking;
    }
    return ['model.safetensors'];
  },
};

const tokenizerFiles = /^(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|config)\.json$|^(merges|vocab)\.txt$/;
const tokenizerSources = ['tokenizer.json', 'vocab.json', 'vocab.txt'];

const tokenizer: Wanted = {
  choose(files, repository) {
    if (!tokenizerSources.some((file) => files.includes(file)))
      throw new MendsetError('not-found', `Expected tokenizer.json, vocab.json or vocab.txt in ${repository} but found none.`);
    return files.filter((file) => tokenizerFiles.test(file));
  },
  async missing(folder) {
    for (const file of tokenizerSources) if (await isThere(folder, file)) return [];
    return ['tokenizer.json'];
  },
};

const onnx: Wanted = {
  choose(files, repository) {
    if (!files.includes('onnx/model.onnx'))
      throw new MendsetError('not-found', `Expected onnx/model.onnx in ${repository} but it is not there; name a model in ONNX form.`);
    return files.filter((file) => tokenizerFiles.test(file) || /^onnx\/model\.onnx(_data)?$/.test(file));
  },
  async missing(folder) {
    const lacking: string[] = [];
    for (const file of ['config.json', 'tokenizer.json', 'onnx/model.onnx']) if (!(await isThere(folder, file))) lacking.push(file);
    return lacking;
  },
};

/** What is wanted of a model: all that the engine reads, its tokenizer, or its ONNX form. */
export type ModelPart = 'model' | 'tokenizer' | 'onnx';

const wantedOf: Readonly<Record<ModelPart, Wanted>> = { model, tokenizer, onnx };

/**
 * The folder that a model is named by: a path stands for itself, `hf:owner/name[@revision]` for its snapshot in the cache of the Hub,
 * which is fetched when it is not there. `part` says what of it is wanted.
 */
export async function modelFolder(path: string, options: FetchOptions & { readonly part?: ModelPart } = {}): Promise<string> {
  if (!isHubName(path)) return path;
  if (parseHubName(path).kind === 'dataset')
    throw new MendsetError('invalid-argument', `Expected a model but '${path}' names a data set; write hf:owner/name.`);
  return fetchSnapshot(path, wantedOf[options.part ?? 'model'], options);
}
