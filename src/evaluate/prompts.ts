import { MendsetError } from '../core/errors.ts';
import type { LanguageModel } from '../model/language-model.ts';

/** A prompt as words or as token ids. */
export type Prompt = string | ArrayLike<number>;

/**
 * Token ids of each prompt; `keep` = only its first tokens; `sources` names them in errors, e.g. `file:line`. Ids outside the
 * vocabulary and untokenisable texts are one `invalid-data`.
 */
export function encodePrompts(
  model: LanguageModel,
  prompts: readonly Prompt[],
  keep: number,
  sources?: readonly string[] | undefined,
): Int32Array[] {
  const problems: string[] = [];
  const name = (i: number) => sources?.[i] ?? `prompt ${i}`;
  const encoded = prompts.map((prompt, i) => {
    const ids = typeof prompt === 'string' ? model.requireTokenizer().encode(prompt, { specials: 'before' }) : Int32Array.from(prompt);
    const wrong = ids.find((id) => id < 0 || id >= model.summary.vocab);
    if (wrong !== undefined) problems.push(`${name(i)}: token id ${wrong} is outside the model's vocabulary of ${model.summary.vocab}`);
    if (ids.length === 0 && model.summary.eos < 0)
      problems.push(`${name(i)}: the prompt is empty and the model has no end-of-text token to start from`);
    return ids.subarray(0, keep);
  });
  if (problems.length > 0) {
    const rest = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
    throw new MendsetError('invalid-data', `Expected usable prompts but ${problems[0]}${rest}.`, { problems });
  }
  return encoded;
}
