import { MendsetError } from '../core/errors.ts';
import { sha256Hex } from '../core/hash.ts';
import { PythonRandom } from '../core/random.ts';
import type { PairRecord, Pool } from './record.ts';

export interface BuildPoolOptions {
  readonly name: string;
  /** Seed of the shuffle; the paper uses 43, 44, 46, 48 and 101 */
  readonly dataSeed: number;
  /** How many shuffled records selection works on */
  readonly window: number | 'all';
  /** Records at the end of the files that are held back; default 64 */
  readonly validation?: number;
  /** `exact` drops records whose raw line occurred before; default none */
  readonly dedupe?: 'none' | 'exact';
  readonly appendEos: boolean;
  readonly warnings?: readonly string[];
}

/**
 * Builds the pool: the last records become the validation set, the rest is shuffled as CPython's `random.shuffle` does under
 * `dataSeed`, and the first `window` records stay. The pool's hash is the SHA-256 of their hashes (64 hexadecimal digits each) in order.
 * Throws `invalid-argument` for a window beyond the records and `invalid-data` when validation takes them all.
 *
 * @example
 * const pool = buildPool(pairs.records, { name: 'mine', dataSeed: 43, window: 4400, appendEos: pairs.appendEos });
 */
export function buildPool(records: readonly PairRecord[], options: BuildPoolOptions): Pool {
  const { name, dataSeed, window, validation = 64, dedupe = 'none', appendEos } = options;
  requireCount('validation', validation, 0);
  if (window !== 'all') requireCount('window', window, 1);
  if (!Number.isSafeInteger(dataSeed))
    throw new MendsetError('invalid-argument', `Expected an integer as data seed but received ${String(dataSeed)}.`);

  const warnings = [...(options.warnings ?? [])];
  let kept = records;
  if (dedupe === 'exact') {
    const seen = new Set<string>();
    kept = records.filter((record) => !seen.has(record.hash) && seen.add(record.hash));
    if (kept.length < records.length) warnings.push(`${records.length - kept.length} exact duplicates were dropped.`);
  }
  if (kept.length <= validation) {
    throw new MendsetError(
      'invalid-data',
      `Expected more records in pool '${name}' than the ${validation} held back for validation but found ${kept.length}; lower \`validation\` or add records.`,
    );
  }
  const rest = new PythonRandom(dataSeed).shuffle(kept.slice(0, kept.length - validation));
  if (window !== 'all' && window > rest.length) {
    throw new MendsetError(
      'invalid-argument',
      `Expected a window of at most the ${rest.length} records of pool '${name}' but received ${window}.`,
    );
  }
  const chosen = window === 'all' ? rest : rest.slice(0, window);
  return {
    name,
    records: chosen,
    validation: kept.slice(kept.length - validation),
    hash: sha256Hex(chosen.map((record) => record.hash)),
    appendEos,
    dataSeed,
    warnings,
  };
}

function requireCount(name: string, value: number, least: number): void {
  if (!Number.isSafeInteger(value) || value < least) {
    throw new MendsetError('invalid-argument', `Expected an integer from ${least} as ${name} but received ${String(value)}.`);
  }
}
