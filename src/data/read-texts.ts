import { MendsetError } from '../core/errors.ts';
import type { RunOptions } from '../core/run-options.ts';
import { refuseOtherFormats } from './data-files.ts';
import { dataPath } from './hub/data-path.ts';
import { forEachLine } from './lines.ts';
import { DataProblems, describeJson } from './problems.ts';
import { type ColumnNames, forEachRow, hasFields } from './rows.ts';
import { WellFormed } from './well-formed.ts';

export interface ReadTextsOptions extends RunOptions {
  /** Which column of the file is meant by `text` */
  readonly columns?: ColumnNames | undefined;
}

/** Texts of a file in order. */
export interface TextSet {
  readonly texts: readonly string[];
  readonly warnings: readonly string[];
}

/** Rows of running text; perplexity is measured over `rows.join("\n\n")`. */
export interface TextRows {
  readonly rows: readonly string[];
  /** `rows`: a file of rows with `text` (JSON lines, CSV, TSV, Parquet); `wikitext`: a WikiText file as published; `plain`: paragraphs between empty lines */
  readonly format: 'rows' | 'wikitext' | 'plain';
  readonly warnings: readonly string[];
}

/**
 * Reads running text. The `text` of JSON lines, CSV, TSV or Parquet are rows as they are. A WikiText file as published (it begins with a blank line and a
 * ` = Title = `) gives the rows of the Hugging Face Hub: each line with its line feed, a blank line as an empty row; so both forms
 * join to the same text. Any other text is cut at empty lines, and joins to itself.
 *
 * @throws MendsetError `not-found`, `io`, `invalid-data` with file:line
 * @example
 * const { rows } = await readTextRows('wiki.test.raw');
 */
export async function readTextRows(source: string, options: ReadTextsOptions = {}): Promise<TextRows> {
  const path = await dataPath(source, options);
  refuseOtherFormats(path);
  if (hasFields(path)) {
    const { texts, warnings } = await readRowTexts(path, options);
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
 * Reads LAMBADA: rows with `text`, or the published text of one passage a line; the last word of each is the target. Throws `invalid-data` where a text has no space.
 *
 * @example
 * const { texts } = await readLambada('lambada_openai.jsonl');
 */
export async function readLambada(source: string, options: ReadTextsOptions = {}): Promise<TextSet> {
  const path = await dataPath(source, options);
  refuseOtherFormats(path);
  return readRowTexts(path, options, (text) =>
    text.trimEnd().lastIndexOf(' ') > 0 ? null : "expected a passage and a last word, separated by a space, as 'text'",
  );
}

/**
 * Reads texts: the `text` of JSON lines, CSV, TSV or Parquet, or of any other file one text a line.
 *
 * @throws MendsetError `not-found`, `io`, `invalid-data` with file:line
 * @example
 * const { texts } = await readTexts('normal.jsonl');
 */
export async function readTexts(source: string, options: ReadTextsOptions = {}): Promise<TextSet> {
  const path = await dataPath(source, options);
  refuseOtherFormats(path);
  if (hasFields(path)) return readRowTexts(path, options);
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

async function readRowTexts(
  path: string,
  options: ReadTextsOptions,
  check: (text: string) => string | null = () => null,
): Promise<TextSet> {
  const texts: string[] = [];
  const wellFormed = new WellFormed();
  const problems = new DataProblems();
  await forEachRow(
    path,
    ({ value, source }) => {
      // An empty cell of a table is an empty text; JSON says null only where there is none
      const text = value['text'] === null && !/\.jsonl(\.gz)?$/i.test(path) ? '' : value['text'];
      if (typeof text !== 'string') {
        problems.add(source, `expected a text as 'text' but found ${describeJson('text' in value ? text : value)}`);
        return;
      }
      const problem = check(text);
      if (problem === null) texts.push(wellFormed.text(text));
      else problems.add(source, problem);
    },
    (where, problem) => problems.add(where, problem),
    options,
  );
  problems.throwIfAny();
  if (texts.length === 0) throw new MendsetError('invalid-data', `Expected at least one row with 'text' in '${path}' but found none.`);
  return { texts, warnings: wellFormed.warnings() };
}
