import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { matrix } from '../../src/core/matrix.ts';
import { formatBytes, parseBytes } from '../../src/core/memory.ts';
import { writeNpy } from '../../src/data/npy.ts';
import { type EmbeddingBlock, readEmbeddings, splitEmbeddingsPath } from '../../src/data/read-embeddings.ts';
import { isMapped } from '../../src/native/map-file.ts';
import { kCenter } from '../../src/select/k-center.ts';

const lists = fileURLToPath(new URL('../golden/embeddings/lists.parquet', import.meta.url));
let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mendset-embeddings-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function safetensors(name: string, tensors: Record<string, { dtype: string; shape: number[]; bytes: Uint8Array }>): Promise<string> {
  let at = 0;
  const header: Record<string, unknown> = { __metadata__: { made: 'for a test' } };
  for (const [key, { dtype, shape, bytes }] of Object.entries(tensors)) {
    header[key] = { dtype, shape, data_offsets: [at, at + bytes.length] };
    at += bytes.length;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const path = join(folder, name);
  await writeFile(path, Buffer.concat([length, text, ...Object.values(tensors).map((tensor) => tensor.bytes)]));
  return path;
}
const bytesOf = (array: Float32Array | Float64Array | Uint16Array) => new Uint8Array(array.buffer);

describe('readEmbeddings', () => {
  it('reads .npy in fp32 and fp64', async () => {
    const path = join(folder, 'a.npy');
    await writeNpy(path, Float32Array.of(1, 2, 3, 4, 5, 6), [3, 2]);
    expect(await readEmbeddings(path)).toEqual({ data: Float32Array.of(1, 2, 3, 4, 5, 6), rows: 3, columns: 2 });
    await writeNpy(path, Float64Array.of(1, 0.1), [1, 2]);
    expect([...(await readEmbeddings(path)).data]).toEqual([1, Math.fround(0.1)]);
  });
  it('reads a tensor of safetensors by name, in F32, F16 and BF16', async () => {
    const path = await safetensors('m.safetensors', {
      single: { dtype: 'F32', shape: [2, 2], bytes: bytesOf(Float32Array.of(1, -2, 3, 0.5)) },
      half: { dtype: 'F16', shape: [1, 3], bytes: bytesOf(Uint16Array.of(0x3c00, 0xc000, 0x3555)) },
      brain: { dtype: 'BF16', shape: [3, 1], bytes: bytesOf(Uint16Array.of(0x3f80, 0xc000, 0x3eab)) },
      vector: { dtype: 'F32', shape: [1], bytes: bytesOf(Float32Array.of(7)) },
    });
    expect([...(await readEmbeddings(`${path}#single`)).data]).toEqual([1, -2, 3, 0.5]);
    expect(await readEmbeddings(`${path}#half`)).toEqual({ data: Float32Array.of(1, -2, 0.333251953125), rows: 1, columns: 3 });
    expect(await readEmbeddings(`${path}#brain`)).toEqual({ data: Float32Array.of(1, -2, 0.333984375), rows: 3, columns: 1 });
    await expect(readEmbeddings(path)).rejects.toThrow(/name of a tensor.*holds 3 matrices \(single, half, brain\)/);
    await expect(readEmbeddings(`${path}#brian`)).rejects.toThrow(/the tensor "brian".*brain/);
    await expect(readEmbeddings(`${path}#vector`)).rejects.toMatchObject({ code: 'invalid-data' });
  });
  it('reads a list column of Parquet over its row groups', async () => {
    const expected = Array.from({ length: 21 }, (_, at) => Math.floor(at / 3) + (at % 3) / 4);
    for (const place of [lists, `${lists}#embedding`]) {
      const { data, rows, columns } = await readEmbeddings(place);
      expect([rows, columns]).toEqual([7, 3]);
      expect([...data]).toEqual(expected);
    }
    await expect(readEmbeddings(`${lists}#embeding`)).rejects.toThrow(/column "embeding".*embedding/);
    await expect(readEmbeddings(`${lists}#id`)).rejects.toMatchObject({ code: 'invalid-data' });
  });
  it('reads blocks, with and without a known number of rows', async () => {
    async function* blocks(): AsyncGenerator<EmbeddingBlock> {
      const rows = new Float32Array(4);
      for (let block = 0; block < 5; block++) yield { rows: rows.fill(block), columns: 2 };
    }
    const expected = Array.from({ length: 20 }, (_, at) => Math.floor(at / 4));
    expect([...(await readEmbeddings(blocks())).data]).toEqual(expected);
    expect([...(await readEmbeddings(blocks(), { rows: 10 })).data]).toEqual(expected);
    await expect(readEmbeddings(blocks(), { rows: 11 })).rejects.toThrow(/Expected 11 rows.*blocks have 10/);
    await expect(readEmbeddings(blocks(), { memoryLimit: 100, map: 'never' })).rejects.toMatchObject({ code: 'out-of-memory' });
    async function* uneven(): AsyncGenerator<EmbeddingBlock> {
      yield { rows: new Float32Array(4), columns: 2 };
      yield { rows: new Float32Array(6), columns: 3 };
    }
    await expect(readEmbeddings(uneven())).rejects.toMatchObject({ code: 'invalid-data' });
  });
  it('refuses what cannot fit, with the numbers, before it reads', async () => {
    const path = join(folder, 'b.npy');
    await writeNpy(path, new Float32Array(4096), [1024, 4]);
    await expect(readEmbeddings(path, { memoryLimit: 20_000, workBytes: (n) => 8 * n, map: 'never' })).rejects.toMatchObject({
      code: 'out-of-memory',
      message: expect.stringMatching(/fit into 19.5 KiB \(the memory limit\) but it needs about 24.0 KiB \(input 16.0 KiB, work 8.0 KiB\)/),
    });
    expect((await readEmbeddings(path, { memoryLimit: 30_000, workBytes: (n) => 8 * n })).rows).toBe(1024);
  });
  it('leaves in its file what is larger than the limit', async () => {
    const path = join(folder, 'd.npy');
    const data = Float32Array.from({ length: 4096 }, (_, i) => Math.sin(i));
    await writeNpy(path, data, [1024, 4]);
    for (const options of [{ memoryLimit: 20_000, workBytes: () => 8192 }, { map: 'always' }] as const) {
      const x = await readEmbeddings(path, options);
      expect(isMapped(x.data)).toBe(process.platform !== 'win32');
      expect(x.data).toEqual(data);
      const { indices } = await kCenter({ space: 'raw', first: 0 }).select(
        { n: 1024, budget: 20, seed: 0, features: { embeddings: x } },
        { memoryLimit: 2 ** 26 },
      );
      const inMemory = await kCenter({ space: 'raw', first: 0 }).select({
        n: 1024,
        budget: 20,
        seed: 0,
        features: { embeddings: matrix(data, 1024, 4) },
      });
      expect(indices).toEqual(inMemory.indices);
    }
    expect(isMapped((await readEmbeddings(path)).data)).toBe(false);
    // work alone beyond the limit: a mapping would not help
    await expect(readEmbeddings(path, { memoryLimit: 20_000, workBytes: () => 30_000 })).rejects.toMatchObject({ code: 'out-of-memory' });
  });
  it('turns what cannot be mapped into fp32 on disk, block by block, and leaves no file behind', async () => {
    const [rows, columns] = [3000, 7];
    const exact = Float32Array.from({ length: rows * columns }, (_, i) => ((i * 37) % 2048) / 8 - 100); // exact in every format but bfloat16
    const temporary = await mkdtemp(join(import.meta.dirname, '..', '..', 'build', 'spill-'));
    const options = { memoryLimit: 60_000, temporary, workBytes: (n: number) => 4 * n };
    const half = Uint16Array.from(exact, (value) => {
      const exponent = value === 0 ? -15 : Math.floor(Math.log2(Math.abs(value)));
      const fraction = value === 0 ? 0 : Math.round((Math.abs(value) / 2 ** exponent - 1) * 1024);
      return ((value < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | fraction) >>> 0;
    });
    const brain = new Uint16Array(rows * columns).map((_, i) => (new Uint16Array(exact.buffer)[2 * i + 1] as number) & 0xffff);
    const brainValues = Float32Array.from(new Float32Array(Uint32Array.from(brain, (bits) => bits << 16).buffer));
    const tensors = await safetensors('spilled.safetensors', {
      half: { dtype: 'F16', shape: [rows, columns], bytes: bytesOf(half) },
      brain: { dtype: 'BF16', shape: [rows, columns], bytes: bytesOf(brain) },
      double: { dtype: 'F64', shape: [rows, columns], bytes: bytesOf(Float64Array.from(exact)) },
    });
    const double = join(folder, 'double.npy');
    await writeNpy(double, Float64Array.from(exact), [rows, columns]);
    async function* blocks(): AsyncGenerator<EmbeddingBlock> {
      for (let first = 0; first < rows; first += 100) yield { rows: exact.slice(first * columns, (first + 100) * columns), columns };
    }
    for (const [input, expected] of [
      [double, exact],
      [`${tensors}#double`, exact],
      [`${tensors}#half`, exact],
      [`${tensors}#brain`, brainValues],
      [blocks(), exact],
    ] as const) {
      const x = await readEmbeddings(input, options);
      expect([x.rows, x.columns, isMapped(x.data)]).toEqual([rows, columns, process.platform !== 'win32']);
      expect(x.data).toEqual(expected);
    }
    const parquet = await readEmbeddings(lists, { map: 'always', temporary });
    expect(parquet).toEqual(await readEmbeddings(lists, { map: 'never' }));
    expect(isMapped(parquet.data)).toBe(process.platform !== 'win32');
    // a block must fit as well; a mistake in the midst leaves nothing
    await expect(readEmbeddings(double, { ...options, memoryLimit: 12_010 })).rejects.toMatchObject({
      code: 'out-of-memory',
      message: expect.stringMatching(/a block of .*double\.npy to fit into 11\.7 KiB/),
    });
    const broken = Float64Array.from(exact);
    broken[15_001] = Number.NaN;
    await writeNpy(double, broken, [rows, columns]);
    await expect(readEmbeddings(double, options)).rejects.toThrow(/row 2143, column 0 is NaN/);
    await expect(readEmbeddings(`${tensors}#half`, { ...options, signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'aborted' });
    await expect(readEmbeddings(`${tensors}#half`, { ...options, temporary: '/dev/shm' })).rejects.toThrow(
      process.platform === 'linux' ? /'\/dev\/shm', which is memory itself: name a folder on a larger disk/ : /./,
    );
    expect(await readdir(temporary)).toEqual([]);
    await rm(temporary, { recursive: true });
  });
  it('names row and column of a number that is not finite', async () => {
    const path = join(folder, 'c.npy');
    await writeNpy(path, Float32Array.of(0, 1, 2, 3, Number.NaN, 5), [3, 2]);
    await expect(readEmbeddings(path)).rejects.toMatchObject({ code: 'non-finite', message: expect.stringContaining('row 2, column 0') });
    expect((await readEmbeddings(path, { finite: false })).rows).toBe(3);
  });
  it('refuses damaged and unknown files', async () => {
    const broken = join(folder, 'broken.safetensors');
    await writeFile(broken, Buffer.alloc(16, 0xff));
    await expect(readEmbeddings(broken)).rejects.toMatchObject({ code: 'corrupt' });
    await writeFile(join(folder, 'broken.parquet'), 'PAR1 no');
    await expect(readEmbeddings(join(folder, 'broken.parquet'))).rejects.toMatchObject({ code: 'corrupt' });
    await expect(readEmbeddings(join(folder, 'none.npy'))).rejects.toMatchObject({ code: 'not-found' });
    await expect(readEmbeddings(join(folder, 'none.parquet'))).rejects.toMatchObject({ code: 'not-found' });
    await expect(readEmbeddings('table.csv')).rejects.toMatchObject({ code: 'unsupported' });
  });
  it('stops for an aborted signal', async () => {
    await expect(readEmbeddings(lists, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'aborted' });
  });
});

it('sizes', () => {
  expect(['4GiB', '500MB', '1.5 k', '7', '2g'].map(parseBytes)).toEqual([4294967296, 500e6, 1536, 7, 2147483648]);
  expect(['', '-1', '4 parsecs', '0', '1e3'].map(parseBytes)).toEqual([null, null, null, null, null]);
  expect([12, 2048, 5.5 * 2 ** 30].map(formatBytes)).toEqual(['12 bytes', '2.0 KiB', '5.5 GiB']);
  expect(splitEmbeddingsPath('a#b.parquet#c')).toEqual({ path: 'a#b.parquet', part: 'c' });
  expect(splitEmbeddingsPath('a#b.npy')).toEqual({ path: 'a#b.npy', part: undefined });
});
