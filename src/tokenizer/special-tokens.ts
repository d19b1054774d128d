import { join } from 'node:path';

import { pathKind } from '../core/files.ts';
import { readJson } from './read-json.ts';
import type { Json } from './tokenizer-json.ts';

/** What the small files beside a tokenizer say about it; missing files say nothing. */
export interface SpecialTokens {
  /** Role such as `cls_token` -> text; `lstrip`: white space before it belongs to it */
  readonly tokens: ReadonlyMap<string, { readonly content: string; readonly lstrip: boolean }>;
  /** `tokenizer_config.json` */
  readonly settings: Json;
  /** Of config.json, e.g. `roberta` */
  readonly modelType: string | null;
}

const roles = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token'];

export async function readSpecialTokens(directory: string): Promise<SpecialTokens> {
  const read = async (name: string): Promise<Json> => {
    const path = join(directory, name);
    const json = (await pathKind(path)) === 'file' ? await readJson(path) : null;
    return typeof json === 'object' && json !== null ? (json as Json) : {};
  };
  const settings = await read('tokenizer_config.json');
  const map = await read('special_tokens_map.json');
  const tokens = new Map<string, { content: string; lstrip: boolean }>();
  for (const role of roles) {
    for (const given of [settings[role], map[role]]) {
      const content = typeof given === 'string' ? given : (given as Json | null | undefined)?.['content'];
      if (typeof content !== 'string' || tokens.has(role)) continue;
      tokens.set(role, { content, lstrip: typeof given === 'object' && (given as Json)['lstrip'] === true });
    }
  }
  const modelType = (await read('config.json'))['model_type'];
  return { tokens, settings, modelType: typeof modelType === 'string' ? modelType : null };
}
