import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MendsetError } from '../core/errors.ts';
import { pathKind, writeFileAtomic } from '../core/files.ts';
import { sha256Hex } from '../core/hash.ts';
import { type NpyArray, readNpy, writeNpy } from '../data/npy.ts';
import type { PairRecord } from '../data/record.ts';
import type { Feature, FeatureCost, FeatureKind } from './feature.ts';

interface Sidecar {
  readonly key: string;
  readonly kind: FeatureKind;
  readonly shape: readonly number[];
  readonly cost: FeatureCost;
  readonly options: Readonly<Record<string, unknown>>;
  readonly warnings: readonly string[];
}

/** What identifies values: change any part and they are computed anew. */
export interface FeatureKey {
  readonly kind: FeatureKind;
  /** Hash of the model or scorer; null = without identity, and then nothing is cached */
  readonly sourceHash: string | null;
  readonly records: readonly PairRecord[];
  readonly options: Readonly<Record<string, unknown>>;
}

/**
 * Features by content hash in a folder: `<kind>-<hash>.npy`, and a JSON file with what they cost. Both are written beside their
 * place and renamed; the JSON file comes last and makes the entry count.
 */
export class FeatureCache {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  async get(key: FeatureKey): Promise<{ array: NpyArray; stored: Sidecar } | null> {
    const paths = this.#paths(key);
    if (paths === null || (await pathKind(paths.json)) !== 'file') return null;
    let stored: Sidecar;
    try {
      stored = JSON.parse(await readFile(paths.json, 'utf8')) as Sidecar;
    } catch (error) {
      throw new MendsetError(
        'corrupt',
        `Expected a description of cached features in ${paths.json} but it is not readable: delete it to compute them again.`,
        { cause: error },
      );
    }
    const array = await readNpy(paths.npy);
    if (stored.key !== paths.key || array.shape.join() !== stored.shape.join()) {
      throw new MendsetError(
        'corrupt',
        `Expected ${paths.npy} to hold shape (${stored.shape.join(', ')}) of key ${paths.key} but it does not: delete both files to compute them again.`,
      );
    }
    return { array, stored };
  }

  async put(
    key: FeatureKey,
    data: Float32Array | Float64Array,
    shape: readonly number[],
    feature: Pick<Feature<unknown>, 'cost' | 'options' | 'warnings'>,
  ): Promise<void> {
    const paths = this.#paths(key);
    if (paths === null) return;
    await mkdir(this.directory, { recursive: true });
    await writeNpy(paths.npy, data, shape);
    const { cost, options, warnings } = feature;
    const sidecar: Sidecar = { key: paths.key, kind: key.kind, shape, cost, options, warnings };
    await writeFileAtomic(paths.json, JSON.stringify(sidecar));
  }

  #paths(key: FeatureKey): { key: string; npy: string; json: string } | null {
    if (key.sourceHash === null) return null;
    const hash = sha256Hex([
      JSON.stringify([2, key.kind, key.sourceHash, key.options, key.records.length]),
      ...key.records.map((r) => r.hash),
    ]);
    const stem = join(this.directory, `${key.kind}-${hash.slice(0, 32)}`);
    return { key: hash, npy: `${stem}.npy`, json: `${stem}.json` };
  }
}

/** Takes values from the cache, or computes, times and keeps them. `sharedSeconds`: their part of a pass that another feature ran. */
export async function cachedFeature<V>(
  cache: FeatureCache | null,
  key: FeatureKey,
  pack: { toArray: (values: V) => { data: Float32Array | Float64Array; shape: number[] }; fromArray: (array: NpyArray) => V },
  compute: () => Promise<{ values: V; flopsCounted: number; sharedSeconds?: number | null; warnings?: readonly string[] }>,
): Promise<Feature<V>> {
  const start = performance.now();
  const elapsed = () => (performance.now() - start) / 1000;
  const options = { ...key.options, sourceHash: key.sourceHash };
  const found = (await cache?.get(key)) ?? null;
  if (found) {
    const { cost, warnings } = found.stored;
    return {
      kind: key.kind,
      values: pack.fromArray(found.array),
      cost,
      incurred: { seconds: elapsed(), flopsCounted: 0 },
      cached: true,
      options,
      warnings,
    };
  }
  const { values, flopsCounted, sharedSeconds = null, warnings = [] } = await compute();
  const cost = { seconds: sharedSeconds ?? elapsed(), flopsCounted };
  const incurred = sharedSeconds === null ? cost : { seconds: elapsed(), flopsCounted: 0 };
  const feature = { kind: key.kind, values, cost, incurred, cached: false, options, warnings };
  const { data, shape } = pack.toArray(values);
  await cache?.put(key, data, shape, feature);
  return feature;
}

/** Vectors of one number for each record. */
export const VECTOR_PACK = {
  toArray: (values: Float64Array): { data: Float64Array; shape: number[] } => ({ data: values, shape: [values.length] }),
  fromArray: (array: NpyArray): Float64Array => Float64Array.from(array.data as Float64Array),
};
