import { describeJson } from './problems.ts';

/** Where a row's fields come from; decides whether completions are followed by an end-of-text token. */
export type PairFormat = 'dpo-toxic' | 'preference' | 'implicit-prompt' | 'prompt-completion' | 'text' | 'token-ids';

/** The texts or ids of one row, not yet checked for emptiness. */
export interface PairFields {
  readonly format: PairFormat;
  readonly prompt: string;
  readonly chosen: string;
  readonly rejected: string | null;
  readonly promptIds?: readonly number[];
  readonly chosenIds?: readonly number[];
  readonly rejectedIds?: readonly number[];
}

/** A sentence about what is wrong with a row. */
export interface PairProblem {
  readonly problem: string;
}

type Row = Readonly<Record<string, unknown>>;

/**
 * Reads one row by the fields it has: dpo_toxic (`prompt_text`, `unpert_gen_text`, `pert_gen_text`), TRL preference (`prompt`,
 * `chosen`, `rejected`), TRL with implicit prompt (`chosen`, `rejected`), `prompt` and `completion`, `text`, or token ids
 * (`prompt_ids`, `chosen_ids` or `completion_ids`, `rejected_ids`).
 */
export function pairFields(row: Row): PairFields | PairProblem {
  if ('chosen_ids' in row || 'completion_ids' in row) return tokenFields(row);
  if ('prompt_text' in row || 'unpert_gen_text' in row) {
    return textFields('dpo-toxic', row, 'prompt_text', 'unpert_gen_text', 'pert_gen_text');
  }
  for (const name of ['prompt', 'chosen', 'rejected', 'completion', 'messages', 'conversations']) {
    if (Array.isArray(row[name])) {
      return { problem: `'${name}' is a list (conversational data); apply the chat template first and give texts` };
    }
  }
  if ('chosen' in row) {
    if ('prompt' in row) return textFields('preference', row, 'prompt', 'chosen', 'rejected');
    return implicitPrompt(row);
  }
  if ('completion' in row) return textFields('prompt-completion', row, 'prompt', 'completion', 'rejected');
  if (typeof row['text'] === 'string') return { format: 'text', prompt: '', chosen: row['text'], rejected: null };
  return { problem: `expected 'prompt', 'chosen' and 'rejected' (or another known set of fields) but found ${describeJson(row)}` };
}

function textFields(format: PairFormat, row: Row, promptName: string, chosenName: string, rejectedName: string): PairFields | PairProblem {
  const prompt = row[promptName] ?? '';
  // null is a cell without a text, which is counted, not a mistake
  const chosen = row[chosenName] === null ? '' : row[chosenName];
  const rejected = row[rejectedName] ?? null;
  if (typeof prompt !== 'string') return { problem: `expected a text as '${promptName}' but found ${describeJson(prompt)}` };
  if (typeof chosen !== 'string') return { problem: `expected a text as '${chosenName}' but found ${describeJson(chosen)}` };
  if (rejected !== null && typeof rejected !== 'string') {
    return { problem: `expected a text as '${rejectedName}' but found ${describeJson(rejected)}` };
  }
  return { format, prompt, chosen, rejected };
}

/** The longest common beginning is the prompt; a space at its end belongs to the completions (as in TRL's `extract_prompt`). */
function implicitPrompt(row: Row): PairFields | PairProblem {
  const both = textFields('implicit-prompt', row, '', 'chosen', 'rejected');
  if ('problem' in both) return both;
  const { chosen, rejected } = both;
  if (rejected === null) return { ...both, format: 'implicit-prompt' };
  let end = 0;
  while (end < chosen.length && end < rejected.length && chosen[end] === rejected[end]) end++;
  // Not between the halves of a surrogate pair
  if (end > 0 && (chosen.charCodeAt(end - 1) & 0xfc00) === 0xd800) end--;
  if (end > 0 && chosen[end - 1] === ' ') end--;
  return { format: 'implicit-prompt', prompt: chosen.slice(0, end), chosen: chosen.slice(end), rejected: rejected.slice(end) };
}

function tokenFields(row: Row): PairFields | PairProblem {
  const chosenName = 'chosen_ids' in row ? 'chosen_ids' : 'completion_ids';
  const ids: Record<string, readonly number[] | undefined> = {};
  for (const name of ['prompt_ids', chosenName, 'rejected_ids']) {
    const value = row[name];
    if (value === undefined || value === null) continue;
    const problem = tokenIdsProblem(value);
    if (problem !== null) return { problem: `expected token ids as '${name}' but ${problem}` };
    ids[name] = value as number[];
  }
  const chosenIds = ids[chosenName];
  if (chosenIds === undefined) return { problem: `expected token ids as '${chosenName}' but found ${describeJson(row[chosenName])}` };
  const rejectedIds = ids['rejected_ids'];
  return {
    format: 'token-ids',
    prompt: '',
    chosen: '',
    rejected: rejectedIds === undefined ? null : '',
    promptIds: ids['prompt_ids'] ?? [],
    chosenIds,
    ...(rejectedIds === undefined ? {} : { rejectedIds }),
  };
}

/** What keeps a value from being a list of token ids (integers from 0 to 2^31 - 1), null when nothing does. */
export function tokenIdsProblem(value: unknown): string | null {
  if (!Array.isArray(value)) return `found ${describeJson(value)}`;
  const at = value.findIndex((id) => !Number.isInteger(id) || id < 0 || id > 0x7fffffff);
  return at < 0 ? null : `entry ${at + 1} is ${describeJson(value[at])}`;
}
