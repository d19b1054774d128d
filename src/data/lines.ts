import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';

import { MendsetError } from '../core/errors.ts';
import { fileError, pathKind } from '../core/files.ts';
import { throwIfAborted } from '../core/run-options.ts';

const longestLine = 256 * 2 ** 20;

/**
 * Streams a text file (`.gz`: decompressed) line by line. A line ends at LF, a CR before it belongs to the ending, U+2028 does not
 * end a line; a byte order mark at the start is dropped. `visit` gets each line without its ending, its number from 1, and the ending.
 * Throws `not-found`, `invalid-argument` for a folder, `invalid-data` with file:line for text that is not UTF-8.
 */
export async function forEachLine(
  path: string,
  visit: (line: string, number: number, ending: '\n' | '\r\n') => void,
  signal?: AbortSignal,
): Promise<void> {
  if ((await pathKind(path)) === 'folder') {
    throw new MendsetError('invalid-argument', `Expected a file at '${path}' but it is a folder; name a file in it.`);
  }
  let number = 0;
  const decode = (bytes: Buffer): void => {
    number++;
    let end = bytes.length;
    if (end > 0 && bytes[end - 1] === 0x0d) end--;
    const start = number === 1 && end >= 3 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
    if (!isUtf8(bytes))
      throw new MendsetError('invalid-data', `${path}:${number}: expected UTF-8 text but found other bytes; convert the file to UTF-8.`);
    visit(bytes.toString('utf8', start, end), number, end === bytes.length ? '\n' : '\r\n');
  };

  const file = createReadStream(path, { highWaterMark: 1 << 20 });
  const gunzip = path.endsWith('.gz') ? createGunzip() : null;
  // Errors of either stream end the iteration below; the callback only keeps them from being unhandled
  if (gunzip !== null) pipeline(file, gunzip, () => undefined);
  let held: Buffer[] = [];
  let heldBytes = 0;
  try {
    for await (const chunk of (gunzip ?? file) as AsyncIterable<Buffer>) {
      throwIfAborted(signal);
      let start = 0;
      for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, start)) {
        const tail = chunk.subarray(start, end);
        decode(held.length === 0 ? tail : Buffer.concat([...held, tail]));
        held = [];
        heldBytes = 0;
        start = end + 1;
      }
      if (start === chunk.length) continue;
      heldBytes += chunk.length - start;
      if (heldBytes > longestLine) {
        throw new MendsetError(
          'invalid-data',
          `${path}:${number + 1}: expected lines of text but this one is over ${longestLine / 2 ** 20} MiB; is it a text file?`,
        );
      }
      held.push(Buffer.from(chunk.subarray(start)));
    }
    if (held.length > 0) decode(Buffer.concat(held));
  } catch (error) {
    if (error instanceof MendsetError) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    if (code?.startsWith('Z_') === true) {
      throw new MendsetError(
        'corrupt',
        `Expected gzip data in '${path}' but it does not unpack (${(error as Error).message}); fetch or compress it again.`,
        { cause: error },
      );
    }
    if (error instanceof Error && code !== undefined) throw fileError(error, path, 'read');
    throw error;
  } finally {
    file.destroy();
  }
}

/** Streams the objects of a JSONL file, skipping blank lines; a line that is no JSON object goes to `report`. */
export async function forEachJsonLine(
  path: string,
  visit: (line: { value: Readonly<Record<string, unknown>>; raw: string; source: string }) => void,
  report: (source: string, problem: string) => void,
  signal?: AbortSignal,
): Promise<void> {
  await forEachLine(
    path,
    (raw, number) => {
      if (raw.trim() === '') return;
      const source = `${path}:${number}`;
      let value: unknown;
      try {
        value = JSON.parse(raw);
      } catch (error) {
        report(source, `expected one JSON object but the line does not parse: ${jsonReason(error)}`);
        return;
      }
      if (typeof value !== 'object' || value === null || Array.isArray(value)) {
        report(
          source,
          `expected one JSON object but found ${value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`}`,
        );
        return;
      }
      visit({ value: value as Readonly<Record<string, unknown>>, raw, source });
    },
    signal,
  );
}

/** V8 quotes the line in its message; texts may be offensive, so only the reason and the place are kept. */
function jsonReason(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const position = /position (\d+)/.exec(message)?.[1];
  const reason =
    /^(Unexpected end of JSON input|Unterminated string|Bad control character|Bad escaped character|Expected [^.]*?(?= in JSON)|Unexpected token|Unexpected non-whitespace)/.exec(
      message,
    )?.[1];
  return `${reason ?? 'a syntax error'}${position === undefined ? '' : ` at character ${Number(position) + 1}`}`;
}
