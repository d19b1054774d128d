import { MendsetError } from '../core/errors.ts';
import { didYouMean } from '../core/nearest-name.ts';
import { forEachDelimitedRecord } from './delimited.ts';
import { forEachJsonLine, forEachLine } from './lines.ts';
import { forEachParquetRow } from './parquet-rows.ts';

/** One row of a data file, whatever its format. */
export interface DataRow {
  readonly value: Readonly<Record<string, unknown>>;
  /** The line of a JSONL file; the row as JSON otherwise */
  readonly raw: string;
  /** `file:line`, or `file:row N` in Parquet, which has no lines */
  readonly source: string;
}

/**
 * Which column of a file is meant by a field, e.g. `{ prompt: 'question' }`. With it a row has the named fields and those that
 * describe it (id, group_id, scores, toxicity, gold), and no others.
 */
export type ColumnNames = Readonly<Record<string, string>>;

const describing = ['id', 'group_id', 'groupId', 'scores', 'toxicity', 'gold', 'gold_text'];
/** Fields that `ColumnNames` may name */
export const MAPPED_FIELDS: readonly string[] = [
  'prompt',
  'chosen',
  'rejected',
  'completion',
  'text',
  'prompt_ids',
  'chosen_ids',
  'completion_ids',
  'rejected_ids',
  ...describing,
];

/** Endings of the files that hold rows. */
export const ROW_ENDINGS: readonly string[] = ['.jsonl', '.jsonl.gz', '.csv', '.csv.gz', '.tsv', '.tsv.gz', '.parquet', '.txt', '.txt.gz'];

/** Whether a file holds rows with named fields, by its ending; others are running text. */
export function hasFields(path: string): boolean {
  return /\.(jsonl|csv|tsv)(\.gz)?$|\.parquet$/i.test(path);
}

/**
 * Streams the rows of a file: JSON lines, a delimited table with a header, Parquet; of a text each line that is not blank is a row
 * `{text}`. Mistakes go to `report` with their place. Throws `invalid-argument` for a column that no row could have.
 */
export async function forEachRow(
  path: string,
  visit: (row: DataRow) => void,
  report: (source: string, problem: string) => void,
  options: { readonly columns?: ColumnNames | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const { columns, signal } = options;
  requireKnownFields(columns);
  const take = columns === undefined ? visit : (row: DataRow) => mapped(row, columns, visit, report);
  if (/\.parquet$/i.test(path)) {
    await forEachParquetRow(path, (value, number) => take({ value, raw: JSON.stringify(value), source: `${path}:row ${number}` }), signal);
  } else if (/\.(csv|tsv)(\.gz)?$/i.test(path)) {
    await forEachTableRow(path, take, report, signal);
  } else if (/\.txt(\.gz)?$/i.test(path)) {
    await forEachLine(
      path,
      (text, number) => {
        if (text.trim() !== '') take({ value: { text }, raw: text, source: `${path}:${number}` });
      },
      signal,
    );
  } else await forEachJsonLine(path, take, report, signal);
}

async function forEachTableRow(
  path: string,
  visit: (row: DataRow) => void,
  report: (source: string, problem: string) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  let header: readonly string[] | null = null;
  await forEachDelimitedRecord(
    path,
    /\.csv(\.gz)?$/i.test(path) ? ',' : '\t',
    ({ fields, line }) => {
      if (header === null) {
        header = fields.map((name) => name.trim());
        const twice = header.find((name, i) => name !== '' && header?.indexOf(name) !== i);
        if (twice !== undefined)
          throw new MendsetError('invalid-data', `${path}:${line}: expected a header of distinct names but '${twice}' stands twice.`);
        return;
      }
      if (fields.length !== header.length) {
        report(
          `${path}:${line}`,
          `expected ${header.length} fields as in the header but found ${fields.length}; quote fields that hold the delimiter, quotes or line breaks`,
        );
        return;
      }
      const value = Object.fromEntries(fields.flatMap((field, i) => (header?.[i] ? [[header[i], cell(header[i] as string, field)]] : [])));
      visit({ value, raw: JSON.stringify(value), source: `${path}:${line}` });
    },
    report,
    signal,
  );
}

/** An empty cell is no value; numbers and lists are told by the column's name alone, so that a text stays one whatever it looks like. */
function cell(name: string, field: string): unknown {
  if (field === '') return null;
  if (name === 'toxicity') return field.trim() === '' || Number.isNaN(Number(field)) ? field : Number(field);
  if (!/_ids$|^scores$/.test(name)) return field;
  try {
    return JSON.parse(field) as unknown;
  } catch {
    return field;
  }
}

function mapped(
  row: DataRow,
  columns: ColumnNames,
  visit: (row: DataRow) => void,
  report: (source: string, problem: string) => void,
): void {
  const value: Record<string, unknown> = {};
  for (const field of describing) if (field in row.value) value[field] = row.value[field];
  for (const [field, column] of Object.entries(columns)) {
    if (!(column in row.value)) {
      const names = Object.keys(row.value);
      report(
        row.source,
        `expected the column '${column}' (for ${field}) but the row has ${names.slice(0, 8).join(', ')}${didYouMean(column, names)}`,
      );
      return;
    }
    value[field] = row.value[column];
  }
  visit({ ...row, value });
}

function requireKnownFields(columns: ColumnNames | undefined): void {
  for (const field of Object.keys(columns ?? {})) {
    if (!MAPPED_FIELDS.includes(field)) {
      throw new MendsetError(
        'invalid-argument',
        `Expected one of ${MAPPED_FIELDS.join(', ')} as the field of a column but received '${field}'.${didYouMean(field, MAPPED_FIELDS)}`,
      );
    }
  }
}
