import { sha256Hex } from '../core/hash.ts';

/** JSON with sorted keys, so that equal configurations have equal text whatever order they were written in. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, v: unknown) =>
    typeof v === 'object' && v !== null && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : v,
  );
}

/** First 20 hexadecimal digits of the SHA-256 of the canonical JSON. */
export function contentKey(value: unknown): string {
  return sha256Hex(canonicalJson(value)).slice(0, 20);
}
