import { throwIfAborted } from '../core/run-options.ts';
import { forEachLine } from './lines.ts';

/** One record of a delimited file; quoted fields may hold line breaks, so a record may be several lines. */
export interface DelimitedRecord {
  readonly fields: readonly string[];
  /** Number of the record's first line, from 1 */
  readonly line: number;
}

const longestField = 64 * 2 ** 20;

/**
 * Streams the records of a comma- or tab-separated file (RFC 4180): a field that begins with a quote ends with one, and two quotes in it
 * stand for one; a quote elsewhere is a character like any other. Empty lines are skipped. A field that does not end as it
 * should goes to `report`, and so does a quote that is never closed.
 */
export async function forEachDelimitedRecord(
  path: string,
  delimiter: ',' | '\t',
  visit: (record: DelimitedRecord) => void,
  report: (source: string, problem: string) => void,
  signal?: AbortSignal,
): Promise<void> {
  let fields: string[] = [];
  let first = 1;
  /** Pieces of a quoted field that began on an earlier line, each with its line break */
  let open: string[] | null = null;
  let openLength = 0;
  let broken = false;
  const name = delimiter === ',' ? 'comma' : 'tab';
  await forEachLine(
    path,
    (line, number, ending) => {
      if (open === null) {
        if (line === '') return;
        fields = [];
        first = number;
        broken = false;
      }
      let at = 0;
      for (;;) {
        if (open === null && line[at] !== '"') {
          const end = line.indexOf(delimiter, at);
          fields.push(end < 0 ? line.slice(at) : line.slice(at, end));
          if (end < 0) break;
          at = end + 1;
          continue;
        }
        if (open === null) {
          open = [];
          openLength = 0;
          at++;
        }
        const close = endOfQuoted(line, at);
        open.push(line.slice(at, close < 0 ? undefined : close).replaceAll('""', '"'));
        if (close < 0) {
          open.push(ending);
          openLength += line.length - at;
          if (openLength <= longestField) return;
          throwIfAborted(signal);
          report(`${path}:${first}`, `expected the quoted field to end but it is over ${longestField / 2 ** 20} million characters long`);
          open = null;
          return;
        }
        fields.push(open.join(''));
        open = null;
        at = close + 1;
        if (at === line.length) break;
        if (line[at] !== delimiter) {
          report(
            `${path}:${number}`,
            `expected a ${name} or the end of the line behind a closing quote; write a quote inside a quoted field twice`,
          );
          broken = true;
          break;
        }
        at++;
      }
      if (!broken) visit({ fields, line: first });
    },
    signal,
  );
  if (open !== null) report(`${path}:${first}`, 'expected the quoted field that begins in this record to end but the file ends first');
}

/** Place of the quote that closes a field; -1 when it goes on to the next line. Two quotes in a row close nothing. */
function endOfQuoted(line: string, from: number): number {
  for (let at = line.indexOf('"', from); at >= 0; at = line.indexOf('"', at + 2)) if (line[at + 1] !== '"') return at;
  return -1;
}
