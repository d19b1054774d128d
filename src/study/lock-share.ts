import { open, readFile, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { MendsetError } from '../core/errors.ts';
import type { Share } from './plan.ts';

/** How often the holder of a lock shows that it lives, and after how long without a sign another machine may take over. */
const HEARTBEAT_MS = 30_000;
const ABANDONED_MS = 300_000;

/**
 * Takes the lock of one share, so that two processes never compute the same cells into the same file. Taken over is the lock of a
 * process that no longer lives on this machine, and of one on another machine that gave no sign of life for five minutes.
 */
export async function lockShare(directory: string, share: Share): Promise<() => Promise<void>> {
  const path = join(directory, `.lock-${share.index}-of-${share.of}`);
  const mine = JSON.stringify({ pid: process.pid, host: hostname() });
  for (let attempt = 0; ; attempt++) {
    try {
      const file = await open(path, 'wx');
      await file.writeFile(mine);
      await file.close();
      return keepAlive(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
        throw new MendsetError('io', `'${path}' could not be written (${(error as NodeJS.ErrnoException).code}).`, { cause: error });
    }
    const holder = await readHolder(path);
    const quietMs = await millisecondsQuiet(directory, path);
    if (attempt > 0 || (holder && !isAbandoned(holder, quietMs))) {
      throw new MendsetError(
        'io',
        `Expected to be the only process computing share ${share.index} of ${share.of} in '${directory}' but process ${holder?.pid ?? '?'} on ${holder?.host ?? '?'} holds it (last sign of life ${Math.round(quietMs / 1000)} s ago); wait for it, or delete '${path}' if it is gone.`,
      );
    }
    await rm(path, { force: true });
  }
}

function keepAlive(path: string): () => Promise<void> {
  const beat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => undefined);
  }, HEARTBEAT_MS);
  beat.unref();
  return async () => {
    clearInterval(beat);
    await rm(path, { force: true });
  };
}

interface LockHolder {
  readonly pid: number;
  readonly host: string;
}

function isAbandoned(holder: LockHolder, quietMs: number): boolean {
  if (holder.host !== hostname()) return quietMs > ABANDONED_MS;
  return holder.pid === process.pid || !isAlive(holder.pid);
}

/** By the clock of the file system, which all machines share: a file is touched and compared. */
async function millisecondsQuiet(directory: string, path: string): Promise<number> {
  const probe = join(directory, `.clock-${process.pid}`);
  try {
    await (await open(probe, 'w')).close();
    return Math.max(0, (await stat(probe)).mtimeMs - (await stat(path)).mtimeMs);
  } catch {
    return 0;
  } finally {
    await rm(probe, { force: true });
  }
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
