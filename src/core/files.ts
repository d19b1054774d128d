import { randomBytes } from 'node:crypto';
import { access, constants, mkdir, open, readFile, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { MendsetError } from './errors.ts';

/** Turns an error of the operating system into one sentence about the path. */
export function fileError(error: unknown, path: string, action: 'read' | 'write'): MendsetError {
  if (error instanceof MendsetError) return error;
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (action === 'read') {
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      return new MendsetError('not-found', `Expected a file at '${path}' but there is none; check the path.`, { cause: error });
    }
    if (code === 'EISDIR') {
      return new MendsetError('invalid-argument', `Expected a file at '${path}' but it is a folder; name a file in it.`, { cause: error });
    }
    return new MendsetError('io', `'${path}' could not be read (${code ?? String(error)}); check its permissions.`, { cause: error });
  }
  const advice =
    code === 'ENOSPC'
      ? 'the disk is full; free some space'
      : code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
        ? 'it may not be written; choose another path or change its permissions'
        : code === 'ENOENT' || code === 'ENOTDIR'
          ? 'its folder does not exist; create it or choose another path'
          : code === 'EISDIR'
            ? 'it is a folder; name a file'
            : 'choose another path';
  return new MendsetError('io', `'${path}' could not be written (${code ?? String(error)}): ${advice}.`, { cause: error });
}

/** Reads a small file whole; errors are one sentence about the path. */
export async function readBytes(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw fileError(error, path, 'read');
  }
}

/** Whether something exists at the path. */
export async function pathKind(path: string): Promise<'file' | 'folder' | 'none'> {
  try {
    return (await stat(path)).isDirectory() ? 'folder' : 'file';
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return 'none';
    throw fileError(error, path, 'read');
  }
}

/**
 * Writes a file so that a reader sees the old content or the new one, never a part: a file beside it is written, flushed to the
 * disk and renamed over `path`. On failure (code `io`) nothing is left behind. `data` may be pieces, written one after another.
 */
export async function writeFileAtomic(path: string, data: string | Uint8Array | Iterable<string | Uint8Array>): Promise<void> {
  const beside = join(dirname(path), `.${basename(path)}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`);
  try {
    const file = await open(beside, 'wx');
    try {
      const pieces = typeof data === 'string' || data instanceof Uint8Array ? [data] : data;
      // writeFile on a handle goes on where the last one ended
      for (const piece of pieces) await file.writeFile(piece);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, path);
  } catch (error) {
    await unlink(beside).catch(() => undefined);
    throw fileError(error, path, 'write');
  }
  // The rename itself is durable only once the folder is flushed; not every file system lets a folder be opened for that.
  const folder = await open(dirname(path), 'r').catch(() => null);
  if (folder !== null) {
    await folder.sync().catch(() => undefined);
    await folder.close();
  }
}

/** Creates the folder (and its parents) if needed and checks that files can be created in it; code `io` if not. */
export async function ensureWritableDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
    await access(path, constants.W_OK | constants.X_OK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new MendsetError(
      'io',
      `Expected a folder that can be written at '${path}' but ${
        code === 'EEXIST' || code === 'ENOTDIR' ? 'a file stands in the way' : `the system refused (${code ?? String(error)})`
      }; choose another path or change its permissions.`,
      { cause: error },
    );
  }
}
