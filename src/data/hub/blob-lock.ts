import { open, readFile, stat, unlink, utimes } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';

import { fileError } from '../../core/files.ts';
import { throwIfAborted } from '../../core/run-options.ts';

const heartbeatMs = 5000;
const staleMs = 30_000;
const pollMs = 200;

/**
 * Runs work while holding a lock file, so that two processes do not fetch one blob at once; waits while another holds it. A holder
 * touches its lock every five seconds, and one that was not touched for thirty is taken over.
 */
export async function withLock<T>(path: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  const mark = `${process.pid}-${Math.random().toString(36).slice(2)}`;
  while (!(await acquire(path, mark))) {
    throwIfAborted(signal);
    await wait(pollMs);
  }
  const heartbeat = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => undefined), heartbeatMs);
  heartbeat.unref();
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    // Another process may have taken over a lock whose holder slept too long
    if ((await readFile(path, 'utf8').catch(() => '')) === mark) await unlink(path).catch(() => undefined);
  }
}

async function acquire(path: string, mark: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx');
    await file.writeFile(mark);
    await file.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw fileError(error, path, 'write');
  }
  const found = await stat(path).catch(() => null);
  if (found !== null && Date.now() - found.mtimeMs > staleMs) await unlink(path).catch(() => undefined);
  return false;
}
