import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MendsetError } from '../../../src/core/errors.ts';
import type { TokenSequence } from '../../../src/model/sequences.ts';
import { ReferenceCache } from '../../../src/repair/reference-cache.ts';

const WIDTH = 6;
const sequence = (...ids: number[]): TokenSequence => ({
  ids: Int32Array.from(ids),
  mask: Uint8Array.from(ids, (_, i) => (i > 0 ? 1 : 0)),
});

/** States that name their token and place, so that a row in the wrong place shows. */
function model(hash: string | null, abortAfterPasses = Number.POSITIVE_INFINITY) {
  const counts = { hidden: 0, logProbs: 0 };
  return {
    counts,
    hash,
    summary: { backend: 'cpu', device: 'test', width: WIDTH } as never,
    hidden: async (sequences: readonly TokenSequence[]) => {
      if (counts.hidden >= abortAfterPasses) throw new MendsetError('aborted', 'The work was aborted by its signal.');
      counts.hidden++;
      return Float32Array.from(sequences.flatMap(({ ids }) => [...ids].flatMap((id, t) => new Array<number>(WIDTH).fill(id + t / 1000))));
    },
    logProbs: async (sequences: readonly TokenSequence[]) => {
      counts.logProbs++;
      return sequences.map(({ ids }) => Float64Array.from(ids, (id) => -id / 3));
    },
  };
}

const expected = (...sequences: TokenSequence[]) =>
  Float32Array.from(sequences.flatMap(({ ids }) => [...ids].flatMap((id, t) => new Array<number>(WIDTH).fill(id + t / 1000))));

describe('reference states', () => {
  const a = sequence(1, 2, 3);
  const b = sequence(4, 5);
  const long = (first: number) => sequence(...Array.from({ length: 3000 }, (_, i) => first + i));
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mendset-states-'));
  });
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it.each([
    ['in memory', () => new ReferenceCache()],
    ['in temporary files', () => new ReferenceCache({ maxBytes: 0 })],
    ['in a folder', () => new ReferenceCache({ folder })],
  ])('are computed once and come back in any order (%s)', async (_, make) => {
    using cache = make();
    const original = model('m'.repeat(64));
    await cache.prepareHidden(original, [a, b, a]);
    await cache.prepareHidden(original, [b]);
    expect(original.counts.hidden).toBe(1);
    expect(cache.computedTokens).toBe(5);
    expect(await cache.hidden([b, a, b], WIDTH)).toEqual(expected(b, a, b));
    await expect(cache.hidden([sequence(9, 9)], WIDTH)).rejects.toThrowError(/call prepareHidden/);
  });

  it('in a folder serve later runs, of the same model alone', async () => {
    const first = model('m'.repeat(64));
    using one = new ReferenceCache({ folder });
    await one.prepareHidden(first, [a]);
    const sums = await one.logProbs(first, [a, b]);
    const second = model('m'.repeat(64));
    using two = new ReferenceCache({ folder });
    await two.prepareHidden(second, [b, a]);
    expect(await two.logProbs(second, [b, a])).toEqual(Float64Array.of(sums[1] as number, sums[0] as number));
    expect(second.counts).toEqual({ hidden: 1, logProbs: 0 });
    expect(two.computedTokens).toBe(2);
    expect(await two.hidden([a, b], WIDTH)).toEqual(expected(a, b));
    const other = model('n'.repeat(64));
    using three = new ReferenceCache({ folder });
    await three.prepareHidden(other, [a]);
    expect(other.counts.hidden).toBe(1);
    await expect(three.prepareHidden(first, [a])).rejects.toThrowError(/one cache for each model/);
    await expect(three.prepareHidden(model(null), [a])).rejects.toThrowError(/weights have a hash/);
  });

  it('of an interrupted computation are kept as far as they came', async () => {
    using begun = new ReferenceCache({ folder });
    const texts = [long(10), long(20), long(30), long(40)];
    await expect(begun.prepareHidden(model('m'.repeat(64), 1), texts)).rejects.toMatchObject({ code: 'aborted' });
    using resumed = new ReferenceCache({ folder });
    const original = model('m'.repeat(64));
    await resumed.prepareHidden(original, texts);
    expect(resumed.computedTokens).toBe(6000); // a pass holds two of these texts
    expect(await resumed.hidden(texts, WIDTH)).toEqual(expected(...texts));
  });

  it('that fail half-way leave nothing in the folder', async () => {
    using cache = new ReferenceCache({ folder });
    const broken = model('m'.repeat(64));
    broken.hidden = async () => {
      throw new MendsetError('non-finite', 'Not a number.');
    };
    await expect(cache.prepareHidden(broken, [a])).rejects.toMatchObject({ code: 'non-finite' });
    const [own] = await readdir(folder);
    expect(await readdir(join(folder, own as string))).toEqual([]);
  });

  it('that were damaged are refused with the file to delete', async () => {
    using cache = new ReferenceCache({ folder });
    await cache.prepareHidden(model('m'.repeat(64)), [a]);
    const own = join(folder, (await readdir(folder))[0] as string);
    const names = await readdir(own);
    const states = join(own, names.find((name) => name.endsWith('.f32')) as string);
    await truncate(states, 10);
    using cut = new ReferenceCache({ folder });
    await expect(cut.prepareHidden(model('m'.repeat(64)), [a])).rejects.toThrowError(/has 10 bytes: delete both files/);
    await writeFile(join(own, names.find((name) => name.endsWith('.json')) as string), 'not JSON');
    using garbled = new ReferenceCache({ folder });
    await expect(garbled.prepareHidden(model('m'.repeat(64)), [a])).rejects.toMatchObject({ code: 'corrupt' });
  });

  it('without a folder leave no temporary files after dispose', async () => {
    vi.stubEnv('TMPDIR', folder);
    const cache = new ReferenceCache({ maxBytes: 0 });
    await cache.prepareHidden(model(null), [a]);
    expect(await readdir(folder)).toHaveLength(1);
    cache.dispose();
    expect(await readdir(folder)).toEqual([]);
    vi.unstubAllEnvs();
  });
});
