import { join } from 'node:path';
import { ADAPTER_WEIGHTS, readAdapterShape } from './adapter-folder.ts';
import type { LanguageModel } from './language-model.ts';
import { Trainer } from './trainer.ts';

/**
 * Adds a LoRA adapter in PEFT's layout to the model's weights.
 *
 * Rejects with `not-found`, `corrupt`, `unsupported` (DoRA, rank-stabilised scale, biases, modules beside the blocks' linear maps).
 * @example
 * using model = await LanguageModel.load('gpt2');
 * await mergeAdapter(model, 'my-adapter');
 * await model.save('gpt2-merged');
 */
export async function mergeAdapter(model: LanguageModel, directory: string): Promise<void> {
  const shape = await readAdapterShape(directory);
  using trainer = new Trainer(model, { adapter: shape });
  trainer.loadAdapter(join(directory, ADAPTER_WEIGHTS));
  trainer.mergeAdapter();
}
