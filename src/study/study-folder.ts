import { open, readFile, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { MendsetError } from '../core/errors.ts';
import { ensureWritableDirectory, writeFileAtomic } from '../core/files.ts';
import { canonicalJson } from './cell-key.ts';
import type { Share, StudyPlan } from './plan.ts';

/** What `study.json` keeps: the composed configuration and the hashes of its files. A folder belongs to exactly one such identity. */
interface StudyIdentity {
  readonly config: unknown;
  readonly facts: unknown;
}

/**
 * Opens the folder of a study, new or begun. Rejects with `invalid-config` when it holds another study, saying what differs, and
 * with `not-found` when `mustExist` and nothing was begun there.
 */
export async function openStudyFolder(directory: string, plan: StudyPlan, mustExist: boolean): Promise<void> {
  const path = join(directory, 'study.json');
  const wanted: StudyIdentity = { config: plan.config, facts: plan.facts };
  const text = await readFile(path, 'utf8').catch(() => null);
  if (text === null) {
    if (mustExist)
      throw new MendsetError(
        'not-found',
        `Expected a study to resume in '${directory}' but it has no study.json; leave out --resume to begin one.`,
      );
    await ensureWritableDirectory(directory);
    await writeFileAtomic(path, `${JSON.stringify(wanted, null, 2)}\n`);
    return;
  }
  let held: StudyIdentity;
  try {
    held = JSON.parse(text) as StudyIdentity;
  } catch (cause) {
    throw new MendsetError('corrupt', `Expected JSON in '${path}' but it does not parse; use another folder with --out.`, { cause });
  }
  const differing = differences(held, JSON.parse(JSON.stringify(wanted)) as StudyIdentity);
  if (differing.length > 0) {
    const more = differing.length > 1 ? ` (and ${differing.length - 1} more)` : '';
    throw new MendsetError(
      'invalid-config',
      `Expected the study that '${directory}' was begun with, but ${differing[0]}${more}; use another folder with --out, or undo the change.`,
    );
  }
  await ensureWritableDirectory(directory);
}

/** `config.seeds[1] was 44 and is now 48`: the leaves in which two values differ. */
export function differences(before: unknown, after: unknown, path = ''): string[] {
  if (canonicalJson(before ?? null) === canonicalJson(after ?? null)) return [];
  const isTree = (v: unknown): v is Record<string, unknown> => typeof v === 'object' && v !== null;
  if (isTree(before) && isTree(after) && Array.isArray(before) === Array.isArray(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return keys.flatMap((key) =>
      differences(before[key], after[key], Array.isArray(before) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`),
    );
  }
  const short = (v: unknown) => {
    const text = JSON.stringify(v) ?? 'absent';
    return text.length > 50 ? `${text.slice(0, 47)}...` : text;
  };
  return [`${path} was ${short(before)} and is now ${short(after)}`];
}

/**
 * Takes the lock of one share, so that two processes never compute the same cells into the same file. A lock of a process that
 * no longer lives on this machine is taken over.
 */
export async function lockShare(directory: string, share: Share): Promise<() => Promise<void>> {
  const path = join(directory, `.lock-${share.index}-of-${share.of}`);
  const mine = JSON.stringify({ pid: process.pid, host: hostname() });
  for (let attempt = 0; ; attempt++) {
    try {
      const file = await open(path, 'wx');
      await file.writeFile(mine);
      await file.close();
      return async () => {
        await rm(path, { force: true });
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
        throw new MendsetError('io', `'${path}' could not be written (${(error as NodeJS.ErrnoException).code}).`, { cause: error });
    }
    const holder = await readHolder(path);
    if (attempt > 0 || (holder && (holder.host !== hostname() || (holder.pid !== process.pid && isAlive(holder.pid))))) {
      throw new MendsetError(
        'io',
        `Expected to be the only process computing share ${share.index} of ${share.of} in '${directory}' but process ${holder?.pid ?? '?'} on ${holder?.host ?? '?'} holds it; wait for it, or delete '${path}' if it is gone.`,
      );
    }
    await rm(path, { force: true });
  }
}

interface LockHolder {
  readonly pid: number;
  readonly host: string;
}

/** null for a lock that is gone or stays unreadable. Another process may have created it just now and not yet written into it. */
async function readHolder(path: string): Promise<LockHolder | null> {
  for (let attempt = 0; attempt < 10; attempt++) {
    const text = await readFile(path, 'utf8').catch(() => null);
    if (text === null) return null;
    try {
      return JSON.parse(text) as LockHolder;
    } catch {
      await setTimeout(50);
    }
  }
  return null;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
