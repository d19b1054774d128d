import { freemem } from 'node:os';
import { MendsetError } from './errors.ts';

/** Share of the free memory that is used when no limit is given. */
const SHARE_OF_FREE = 0.8;

/** The memory that this process can still get, in bytes; the limit of a container counts. */
export function availableMemory(): number {
  const available = (process as { availableMemory?: () => number }).availableMemory?.() ?? freemem();
  return Math.min(available, freemem());
}

/** 80 % of the memory that this process can still get, in bytes. */
export function defaultMemoryLimit(): number {
  return Math.floor(SHARE_OF_FREE * availableMemory());
}

/** `4.2 GiB`, with the largest binary unit that leaves at least 1. */
export function formatBytes(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let size = bytes;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${unit === 0 ? size : size.toFixed(1)} ${units[unit]}`;
}

const FACTORS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/**
 * Bytes of a size as a person writes it; null for anything else. A bare number is bytes; k, M, G and KiB are powers of 1024, kB of 1000.
 * @example parseBytes('4GiB') // 4294967296
 */
export function parseBytes(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  const factor = match ? FACTORS[(match[2] as string).toLowerCase()] : undefined;
  if (!match || factor === undefined) return null;
  const bytes = Math.floor(Number(match[1]) * factor);
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : null;
}

/**
 * Refuses work that cannot fit, with the numbers, before it starts.
 * @param parts what takes how many bytes
 * @throws MendsetError `out-of-memory`
 */
export function requireMemory(what: string, parts: Readonly<Record<string, number>>, limit: number | undefined): void {
  const bound = limit ?? defaultMemoryLimit();
  const total = Object.values(parts).reduce((sum, bytes) => sum + bytes, 0);
  if (total <= bound) return;
  const list = Object.entries(parts)
    .filter(([, bytes]) => bytes > 0)
    .map(([name, bytes]) => `${name} ${formatBytes(bytes)}`)
    .join(', ');
  throw new MendsetError(
    'out-of-memory',
    `Expected ${what} to fit into ${formatBytes(bound)} (${limit === undefined ? '80 % of the free memory' : 'the memory limit'}) but it needs about ${formatBytes(total)} (${list}): raise the limit, free memory, or use fewer rows or columns.`,
  );
}
