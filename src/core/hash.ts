import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';

import { MendsetError } from './errors.ts';
import { fileError } from './files.ts';
import { throwIfAborted } from './run-options.ts';

/** SHA-256 of bytes or of a UTF-8 text, as 64 hexadecimal digits. Pieces of a list are hashed in order, without separators. */
export function sha256Hex(content: string | Uint8Array | Iterable<string | Uint8Array>): string {
  const hash = createHash('sha256');
  if (typeof content === 'string' || content instanceof Uint8Array) hash.update(content);
  else for (const piece of content) hash.update(piece);
  return hash.digest('hex');
}

/** SHA-256 of a file's bytes, read through one buffer of 1 MiB. Rejects with `not-found`, `io`, or `aborted`. */
export async function sha256File(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  try {
    const file = await open(path);
    try {
      const buffer = new Uint8Array(1 << 20);
      for (;;) {
        throwIfAborted(signal);
        const { bytesRead } = await file.read(buffer, 0, buffer.length);
        if (bytesRead === 0) break;
        hash.update(buffer.subarray(0, bytesRead));
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    throw fileError(error, path, 'read');
  }
  return hash.digest('hex');
}

/**
 * SHA-256 of several files. One path gives the plain hash of the file; more give the hash of their hashes (64 hexadecimal digits
 * each, in the given order), so that bytes moved from one file to the next change the result.
 */
export async function sha256Files(paths: readonly string[], signal?: AbortSignal): Promise<string> {
  if (paths.length === 0) throw new MendsetError('invalid-argument', 'Expected at least one file to hash but received none.');
  const hashes: string[] = [];
  for (const path of paths) hashes.push(await sha256File(path, signal));
  return hashes.length === 1 ? (hashes[0] as string) : sha256Hex(hashes);
}
