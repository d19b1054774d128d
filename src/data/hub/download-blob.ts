import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, rename, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';

import { MendsetError } from '../../core/errors.ts';
import { fileError } from '../../core/files.ts';
import { throwIfAborted } from '../../core/run-options.ts';
import { withLock } from './blob-lock.ts';
import { makeFolder } from './hub-cache.ts';
import { describe, type HubRequest, hubRequest } from './hub-request.ts';

/** A file of a repository at a commit. */
export interface HubFile {
  readonly name: string;
  readonly url: string;
  /** SHA-256 of a large file (64 digits), else the git object id (40 digits: SHA-1 of `blob <size>\0` and the content) */
  readonly hash: string;
  readonly bytes: number;
}

/** Transfers that end early go on this often without a single new byte. */
const mostStalls = 3;

/**
 * Fetches a file into the blob at `path` unless it is there. Parts stand in `<path>.incomplete` and are continued, also by a later
 * call; only a file of the right hash gets its name. `onBytes` hears how many bytes there are.
 */
export async function downloadBlob(request: HubRequest, file: HubFile, path: string, onBytes: (bytes: number) => void): Promise<void> {
  if (await isBlob(path, file)) return onBytes(file.bytes);
  await makeFolder(dirname(path));
  const incomplete = `${path}.incomplete`;
  await withLock(`${incomplete}.lock`, request.signal, async () => {
    if (await isBlob(path, file)) return onBytes(file.bytes);
    try {
      const digest = await fetchInto(request, file, incomplete, onBytes);
      if (digest !== file.hash) {
        await unlink(incomplete);
        throw new MendsetError(
          'corrupt',
          `Expected ${describe(request, file.name)} with hash ${file.hash} but received ${digest}; the transfer was damaged, so try again.`,
        );
      }
      await rename(incomplete, path);
    } catch (error) {
      throwIfAborted(request.signal);
      throw error instanceof MendsetError ? error : fileError(error, incomplete, 'write');
    }
  });
}

async function isBlob(path: string, file: HubFile): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  return found?.isFile() === true && found.size === file.bytes;
}

/** Continues the part that is there until the file is whole, and returns its hash. */
async function fetchInto(request: HubRequest, file: HubFile, incomplete: string, onBytes: (bytes: number) => void): Promise<string> {
  const handle = await open(incomplete, 'a+');
  try {
    let done = (await handle.stat()).size;
    if (done > file.bytes) done = await empty(handle);
    let hash = await hashOfPart(file, incomplete, done);
    let stalls = 0;
    onBytes(done);
    while (done < file.bytes) {
      throwIfAborted(request.signal);
      const response = await hubRequest(request, file.url, {
        what: file.name,
        ...(done > 0 ? { headers: { range: `bytes=${done}-` } } : {}),
      });
      if (done > 0 && !continuesAt(response, done)) {
        // The server gives the whole file, or no longer has such a part
        done = await empty(handle);
        hash = newHash(file);
        if (response.status !== 200) {
          await response.body?.cancel().catch(() => undefined);
          if (++stalls > mostStalls) throw interrupted(request, file, done);
          continue;
        }
      }
      const before = done;
      try {
        for await (const chunk of response.body ?? []) {
          done += chunk.length;
          if (done > file.bytes) {
            await empty(handle);
            throw new MendsetError(
              'corrupt',
              `Expected ${file.bytes} bytes of ${describe(request, file.name)} but the server sends more; try again.`,
            );
          }
          await handle.appendFile(chunk);
          hash.update(chunk);
          onBytes(done);
        }
      } catch (error) {
        throwIfAborted(request.signal);
        const { code } = error as NodeJS.ErrnoException;
        if (error instanceof MendsetError || code === 'ENOSPC' || code === 'EIO' || code === 'EDQUOT') throw error;
        // A connection that broke: what came is kept, as counted by the file itself
        const kept = (await handle.stat()).size;
        if (kept !== done) {
          done = kept;
          hash = await hashOfPart(file, incomplete, done);
        }
      }
      stalls = done > before ? 0 : stalls + 1;
      if (stalls > mostStalls) throw interrupted(request, file, done);
    }
    await handle.sync();
    return hash.digest('hex');
  } finally {
    await handle.close();
  }
}

function interrupted(request: HubRequest, file: HubFile, done: number): MendsetError {
  return new MendsetError(
    'io',
    `The transfer of ${describe(request, file.name)} ended after ${done} of ${file.bytes} bytes and does not go on: try again, it continues there.`,
  );
}

async function empty(handle: FileHandle): Promise<number> {
  await handle.truncate(0);
  return 0;
}

function continuesAt(response: Response, done: number): boolean {
  return response.status === 206 && new RegExp(`^bytes ${done}-`).test(response.headers.get('content-range') ?? '');
}

function newHash(file: HubFile): Hash {
  return file.hash.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${file.bytes}\0`);
}

async function hashOfPart(file: HubFile, path: string, bytes: number): Promise<Hash> {
  const hash = newHash(file);
  if (bytes > 0)
    for await (const chunk of createReadStream(path, { end: bytes - 1, highWaterMark: 1 << 20 })) hash.update(chunk as Uint8Array);
  return hash;
}
