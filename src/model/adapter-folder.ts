import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MendsetError } from '../core/errors.ts';
import { fileError, writeFileAtomic } from '../core/files.ts';
import type { LanguageModel } from './language-model.ts';

/** A low-rank adapter (LoRA, arXiv 2106.09685): W + alpha / rank B A beside linear maps of the blocks. */
export interface AdapterShape {
  readonly rank: number;
  readonly alpha: number;
  /** Names of linear maps, as PEFT's target_modules; empty = all of the blocks' */
  readonly targets: readonly string[];
}

export const ADAPTER_CONFIG = 'adapter_config.json';
export const ADAPTER_WEIGHTS = 'adapter_model.safetensors';

/** What PEFT's LoraConfig says that changes the arithmetic; anything but these values is refused. */
const PLAIN: Readonly<Record<string, unknown>> = {
  peft_type: 'LORA',
  bias: 'none',
  use_rslora: false,
  use_dora: false,
  modules_to_save: null,
  layers_to_transform: null,
  rank_pattern: {},
  alpha_pattern: {},
  target_parameters: null,
  trainable_token_indices: null,
};

/** @internal writes adapter_config.json beside what `writeWeights` writes, the config last. */
export async function saveAdapterFolder(
  model: LanguageModel,
  adapter: AdapterShape | null,
  directory: string,
  writeWeights: (path: string) => void,
): Promise<void> {
  if (!adapter) {
    throw new MendsetError(
      'invalid-argument',
      "Expected a trainer with an adapter but it trains the model's own weights: save the model instead.",
    );
  }
  try {
    await mkdir(directory, { recursive: true });
  } catch (error) {
    throw fileError(error, directory, 'write');
  }
  writeWeights(join(directory, ADAPTER_WEIGHTS));
  const config = {
    ...PLAIN,
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: model.directory,
    inference_mode: true,
    r: adapter.rank,
    lora_alpha: adapter.alpha,
    lora_dropout: 0,
    target_modules: adapter.targets.length > 0 ? adapter.targets : blockLinears(model),
    // GPT-2 stores its matrices as [in, out]
    fan_in_fan_out: model.summary.family === 'gpt2',
    init_lora_weights: true,
  };
  await writeFileAtomic(join(directory, ADAPTER_CONFIG), `${JSON.stringify(config, null, 2)}\n`);
}

/** Names of the linear maps of the blocks: what PEFT needs spelled out, `all-linear` being its own word. */
function blockLinears(model: LanguageModel): string[] {
  const names = model.tensors.filter((t) => t.block === 0 && t.shape.length === 2).map((t) => t.name.split('.').at(-2) as string);
  return [...new Set(names)];
}

/** @internal rank, alpha and targets of a folder in PEFT's layout. */
export async function readAdapterShape(directory: string): Promise<AdapterShape> {
  const path = join(directory, ADAPTER_CONFIG);
  let config: Record<string, unknown>;
  try {
    config = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
  } catch (error) {
    if (error instanceof SyntaxError)
      throw new MendsetError('corrupt', `Expected ${path} to be JSON but it is not: the adapter is damaged.`, { cause: error });
    throw fileError(error, path, 'read');
  }
  const odd = Object.entries(PLAIN).filter(([name, value]) => {
    const given = config[name];
    const empty = given === undefined || given === null || (typeof given === 'object' && Object.keys(given).length === 0);
    return empty ? name === 'peft_type' : given !== value;
  });
  if (odd.length > 0) {
    throw new MendsetError(
      'unsupported',
      `Expected a plain LoRA adapter in ${path} but ${odd.map(([name]) => `${name} is ${JSON.stringify(config[name])}`).join(', ')}: merge it with PEFT and load the merged model.`,
    );
  }
  const { r, lora_alpha: alpha, target_modules: targets } = config;
  if (!Number.isSafeInteger(r) || typeof alpha !== 'number' || !Array.isArray(targets) || !targets.every((t) => typeof t === 'string')) {
    throw new MendsetError('corrupt', `Expected r, lora_alpha and a list of target_modules in ${path} but they are not all there.`);
  }
  return { rank: r as number, alpha, targets: targets as string[] };
}
