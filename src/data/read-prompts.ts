import { MendsetError } from '../core/errors.ts';
import type { RunOptions } from '../core/run-options.ts';
import { refuseOtherFormats } from './data-files.ts';
import { dataPath } from './hub/data-path.ts';
import { forEachLine } from './lines.ts';
import { tokenIdsProblem } from './pair-fields.ts';
import { DataProblems, describeJson } from './problems.ts';
import { type ColumnNames, forEachRow, hasFields } from './rows.ts';
import { WellFormed } from './well-formed.ts';

export interface ReadPromptsOptions extends RunOptions {
  /** Which column of the file is meant by a field, e.g. `{ prompt: 'question' }` */
  readonly columns?: ColumnNames | undefined;
}

/** What a model is to continue: a text, or token ids with an empty text. */
export interface PromptRecord {
  readonly text: string;
  readonly ids?: readonly number[];
  readonly id?: string;
  readonly gold?: string;
  /** Scores that came with the prompt (RealToxicityPrompts: Perspective's) */
  readonly scores?: Readonly<Record<string, number>>;
  /** `file:line` */
  readonly source: string;
}

export interface PromptSet {
  readonly prompts: readonly PromptRecord[];
  readonly warnings: readonly string[];
}

/**
 * Reads prompts: JSON lines, CSV, TSV or Parquet with `prompt` (a text), `prompt_ids` (token ids) or `prompt: {text, toxicity, ...}` (RealToxicityPrompts),
 * or, of any other file, one prompt a line. Throws `invalid-data` with file:line.
 *
 * @example
 * const { prompts } = await readPrompts('challenge_prompts.jsonl');
 */
export async function readPrompts(source: string, options: ReadPromptsOptions = {}): Promise<PromptSet> {
  const path = await dataPath(source, options);
  refuseOtherFormats(path);
  const prompts: PromptRecord[] = [];
  const wellFormed = new WellFormed();
  const problems = new DataProblems();
  if (hasFields(path)) {
    await forEachRow(
      path,
      ({ value, source }) => {
        const prompt = promptOf(value, source, wellFormed);
        if (typeof prompt === 'string') problems.add(source, prompt);
        else prompts.push(prompt);
      },
      (where, problem) => problems.add(where, problem),
      options,
    );
  } else {
    await forEachLine(
      path,
      (line, number) => {
        if (line.trim() !== '') prompts.push({ text: line, source: `${path}:${number}` });
      },
      options.signal,
    );
  }
  problems.throwIfAny();
  if (prompts.length === 0) throw new MendsetError('invalid-data', `Expected at least one prompt in '${path}' but found none.`);
  return { prompts, warnings: wellFormed.warnings() };
}

/** One prompt, or a sentence about what is wrong with the row. */
function promptOf(row: Readonly<Record<string, unknown>>, source: string, wellFormed: WellFormed): PromptRecord | string {
  const id = typeof row['id'] === 'string' || typeof row['id'] === 'number' ? { id: String(row['id']) } : {};
  const gold = typeof row['gold'] === 'string' ? { gold: wellFormed.text(row['gold']) } : {};
  if (row['prompt_ids'] !== undefined) {
    const problem = tokenIdsProblem(row['prompt_ids']);
    return problem === null
      ? { text: '', ids: row['prompt_ids'] as number[], ...id, ...gold, source }
      : `expected token ids as 'prompt_ids' but ${problem}`;
  }
  const prompt = row['prompt'] ?? row['prompt_text'] ?? row['text'];
  if (typeof prompt === 'string') return { text: wellFormed.text(prompt), ...id, ...gold, source };
  if (typeof prompt === 'object' && prompt !== null && !Array.isArray(prompt)) {
    const { text, ...rest } = prompt as Readonly<Record<string, unknown>>;
    if (typeof text === 'string') {
      const scores: Record<string, number> = {};
      for (const [label, score] of Object.entries(rest)) if (typeof score === 'number') scores[label] = score;
      return { text: wellFormed.text(text), ...id, ...gold, ...(Object.keys(scores).length === 0 ? {} : { scores }), source };
    }
  }
  if (Array.isArray(prompt)) return `'prompt' is a list (conversational data); apply the chat template first and give a text`;
  return prompt === undefined
    ? `expected 'prompt' or 'prompt_ids' but found ${describeJson(row)}`
    : `expected a text as 'prompt' but found ${describeJson(prompt)}`;
}
