import { MendsetError } from '../core/errors.ts';
import type { RunOptions } from '../core/run-options.ts';
import { refuseOtherFormats } from './data-files.ts';
import { forEachJsonLine, forEachLine } from './lines.ts';
import { DataProblems, describeJson } from './problems.ts';
import { WellFormed } from './well-formed.ts';

/** Texts of a file in order. */
export interface TextSet {
  readonly texts: readonly string[];
  readonly warnings: readonly string[];
}

/** Rows of running text; perplexity is measured over `rows.join("\n\n")`. */
export interface TextRows {
  readonly rows: readonly string[];
  /** `rows`: JSON lines `{text}`; `wikitext`: a WikiText file as published; `plain`: paragraphs between empty lines */
  readonly format: 'rows' | 'wikitext' | 'plain';
  readonly warnings: readonly string[];
}

/**
 * Reads running text. JSON lines `{text}` are rows as they are. A WikiText file as published (it begins with a blank line and a
 * ` = Title = `) gives the rows of the Hugging Face Hub: each line with its line feed, a blank line as an empty row; so both forms
 * join to the same text. Any other text is cut at empty lines, and joins to itself.
 *
 * @throws MendsetError `not-found`, `io`, `invalid-data` with file:line
 * @example
 * const { rows } = await readTextRows('wiki.test.raw');
 */
export async function readTextRows(path: string, options: RunOptions = {}): Promise<TextRows> {
  refuseOtherFormats(path);
  if (isJsonLines(path)) {
    const { texts, warnings } = await readJsonTexts(path, options);
    return { rows: texts, format: 'rows', warnings };
  }
  const lines: string[] = [];
  await forEachLine(path, (line) => lines.push(line), options.signal);
  if (lines.every((line) => line.trim() === '')) throw new MendsetError('invalid-data', `Expected text in '${path}' but it is empty.`);
  const title = lines.find((line) => line.trim() !== '') as string;
  if (/^ = [^=].* = $/.test(title)) {
    const blank = lines.filter((line) => line.trim() === '').length;
    const rows = lines.map((line) => (line.trim() === '' ? '' : `${line}\n`));
    const warnings =
      blank === 0 ? [`'${path}' looks like WikiText but has no blank lines, unlike the published file; perplexities will differ.`] : [];
    return { rows, format: 'wikitext', warnings };
  }
  return { rows: lines.join('\n').split('\n\n'), format: 'plain', warnings: [] };
}

/**
 * Reads LAMBADA rows `{text}`; the last word of each is the target. Throws `invalid-data` where a text has no space.
 *
 * @example
 * const { texts } = await readLambada('lambada_openai.jsonl');
 */
export async function readLambada(path: string, options: RunOptions = {}): Promise<TextSet> {
  refuseOtherFormats(path);
  return readJsonTexts(path, options, (text) =>
    text.trimEnd().lastIndexOf(' ') > 0 ? null : "expected a passage and a last word, separated by a space, as 'text'",
  );
}

/**
 * Reads texts: JSON lines `{text}`, or, in a file not named `.jsonl`, one text a line.
 *
 * @throws MendsetError `not-found`, `io`, `invalid-data` with file:line
 * @example
 * const { texts } = await readTexts('normal.jsonl');
 */
export async function readTexts(path: string, options: RunOptions = {}): Promise<TextSet> {
  refuseOtherFormats(path);
  if (isJsonLines(path)) return readJsonTexts(path, options);
  const texts: string[] = [];
  await forEachLine(
    path,
    (line) => {
      if (line.trim() !== '') texts.push(line);
    },
    options.signal,
  );
  if (texts.length === 0) throw new MendsetError('invalid-data', `Expected at least one text in '${path}' but found none.`);
  return { texts, warnings: [] };
}

function isJsonLines(path: string): boolean {
  return /\.jsonl(\.gz)?$/i.test(path);
}

async function readJsonTexts(path: string, options: RunOptions, check: (text: string) => string | null = () => null): Promise<TextSet> {
  const texts: string[] = [];
  const wellFormed = new WellFormed();
  const problems = new DataProblems();
  await forEachJsonLine(
    path,
    ({ value, source }) => {
      const text = value['text'];
      if (typeof text !== 'string') {
        problems.add(source, `expected a text as 'text' but found ${describeJson('text' in value ? text : value)}`);
        return;
      }
      const problem = check(text);
      if (problem === null) texts.push(wellFormed.text(text));
      else problems.add(source, problem);
    },
    (where, problem) => problems.add(where, problem),
    options.signal,
  );
  problems.throwIfAny();
  if (texts.length === 0) throw new MendsetError('invalid-data', `Expected at least one row with 'text' in '${path}' but found none.`);
  return { texts, warnings: wellFormed.warnings() };
}
