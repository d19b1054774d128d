import { randomBytes } from 'node:crypto';
import { copyFile, lstat, mkdir, readFile, rename, symlink, unlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileError, writeFileAtomic } from '../../core/files.ts';
import type { HubName } from './hub-name.ts';

/**
 * One repository in the cache that all tools of the Hub share: `blobs/<hash>` hold the contents, `refs/<revision>` the commit a
 * revision stood at, `snapshots/<commit>/<file>` are links to the blobs.
 */
export class HubCache {
  readonly directory: string;

  constructor(cache: string, name: HubName) {
    this.directory = join(cache, `${name.kind}s--${name.repository.replaceAll('/', '--')}`);
  }

  blob(hash: string): string {
    return join(this.directory, 'blobs', hash);
  }

  snapshot(commit: string): string {
    return join(this.directory, 'snapshots', commit);
  }

  /** The commit that a revision stood at when it was last fetched; null when it never was. */
  async commit(revision: string): Promise<string | null> {
    if (isCommit(revision)) return revision;
    try {
      const commit = (await readFile(join(this.directory, 'refs', revision), 'utf8')).trim();
      return isCommit(commit) ? commit : null;
    } catch {
      return null;
    }
  }

  /** Written last: a revision with a commit has all its files. */
  async setCommit(revision: string, commit: string): Promise<void> {
    if (isCommit(revision) || (await this.commit(revision)) === commit) return;
    const path = join(this.directory, 'refs', revision);
    await makeFolder(dirname(path));
    await writeFileAtomic(path, commit);
  }

  /** Makes a file of a snapshot a link to its blob, or a copy where the system refuses links. */
  async link(commit: string, file: string, hash: string): Promise<void> {
    const path = join(this.snapshot(commit), file);
    await makeFolder(dirname(path));
    if ((await lstat(path).catch(() => null)) !== null) return;
    const beside = `${path}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`;
    try {
      await symlink(relative(dirname(path), this.blob(hash)), beside).catch(async (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EPERM' && error.code !== 'ENOSYS' && error.code !== 'ENOTSUP') throw error;
        await copyFile(this.blob(hash), beside);
      });
      await rename(beside, path);
    } catch (error) {
      await unlink(beside).catch(() => undefined);
      throw fileError(error, path, 'write');
    }
  }
}

export function isCommit(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text);
}

export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    throw fileError(error, path, 'write');
  }
}
