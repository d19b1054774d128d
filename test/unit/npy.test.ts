import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { readNpy, readNpyIds, readNpyMatrix, readNpyVector, writeNpy } from '../../src/data/npy.ts';

let root: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mendset-npy-'));
});

afterAll(() => rm(root, { recursive: true, force: true }));

async function raw(dict: string, data: Uint8Array, version = 1): Promise<string> {
  const path = join(root, `${Math.random()}.npy`);
  const head = Buffer.alloc(version === 1 ? 10 : 12);
  head.write('\x93NUMPY', 'latin1');
  head[6] = version;
  if (version === 1) head.writeUInt16LE(dict.length, 8);
  else head.writeUInt32LE(dict.length, 8);
  await writeFile(path, Buffer.concat([head, Buffer.from(dict, 'latin1'), data]));
  return path;
}

test.each([
  ['<f4', Float32Array.of(1, 2.5, -3, 4, 5, 6)],
  ['<f8', Float64Array.of(1, 2.5, -3, 4, 5, 6)],
  ['<i4', Int32Array.of(1, 2, -3, 4, 5, 6)],
  ['<i8', BigInt64Array.of(1n, 2n, -3n, 4n, 5n, 6n)],
  ['|u1', Uint8Array.of(1, 2, 3, 4, 5, 255)],
] as const)('%s is written and read back, aligned to 64 bytes', async (dtype, data) => {
  const path = join(root, `${dtype.replace('|', '')}.npy`);
  await writeNpy(path, data, [2, 3]);
  expect(await readNpy(path)).toEqual({ dtype, shape: [2, 3], data });
  const bytes = await readFile(path);
  expect((10 + bytes.readUInt16LE(8)) % 64).toBe(0);
  expect(bytes.subarray(10).toString('latin1')).toMatch(/^\{'descr': '.+', 'fortran_order': False, 'shape': \(2, 3\), \} *\n/);
});

test('halves are widened, versions 1 and 2 are read, old long shapes too', async () => {
  const halves = Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7c00);
  const path = await raw("{'descr': '<f2', 'fortran_order': False, 'shape': (4L,), }\n", new Uint8Array(halves.buffer), 2);
  expect((await readNpy(path)).data).toEqual(Float32Array.of(1, -2, 2 ** -24, Number.POSITIVE_INFINITY));
});

test('matrices, vectors and ids', async () => {
  const path = join(root, 'm.npy');
  await writeNpy(path, Float64Array.of(1, 2, 3, 4), [2, 2]);
  expect(await readNpyMatrix(path)).toEqual({ data: Float32Array.of(1, 2, 3, 4), rows: 2, columns: 2 });
  await writeNpy(path, Float32Array.of(1, Number.NaN), [1, 2]);
  await expect(readNpyMatrix(path)).rejects.toMatchObject({
    code: 'non-finite',
    message: expect.stringMatching(/row 0, column 1/) as string,
  });
  expect((await readNpyMatrix(path, { finite: false })).columns).toBe(2);
  await writeNpy(path, BigInt64Array.of(1n, 50256n));
  expect(await readNpyIds(path)).toEqual({ ids: Int32Array.of(1, 50256), shape: [2] });
  expect(await readNpyVector(path)).toEqual(Float64Array.of(1, 50256));
  await writeNpy(path, BigInt64Array.of(-1n));
  await expect(readNpyIds(path)).rejects.toMatchObject({ code: 'invalid-data' });
});

test('a view into a larger buffer is written from its own offset', async () => {
  const path = join(root, 'view.npy');
  await writeNpy(path, new Float32Array(Float32Array.of(9, 1, 2).buffer, 4, 2));
  expect((await readNpy(path)).data).toEqual(Float32Array.of(1, 2));
});

describe('refuses', () => {
  const dict = (descr: string, order = 'False', shape = '(1,)'): string =>
    `{'descr': ${descr}, 'fortran_order': ${order}, 'shape': ${shape}, }\n`;
  test.each([
    ['objects', dict("'|O'"), 8, 'unsupported', /object array/],
    ['big-endian numbers', dict("'>f4'"), 4, 'unsupported', /big-endian/],
    ['structured arrays', dict("[('a', '<f4')]"), 4, 'unsupported', /structured/],
    ['complex numbers', dict("'<c8'"), 8, 'unsupported', /'<c8'/],
    ['Fortran order', dict("'<f4'", 'True', '(1, 1)'), 4, 'unsupported', /ascontiguousarray/],
    ['a short file', dict("'<f4'", 'False', '(2,)'), 4, 'corrupt', /Expected 8 bytes/],
    ['a long file', dict("'<f4'"), 8, 'corrupt', /Expected 4 bytes/],
    ['a broken header', "{'descr': '<f4'}\n", 4, 'corrupt', /header/],
  ])('%s', async (_, header, bytes, code, message) => {
    await expect(readNpy(await raw(header, new Uint8Array(bytes)))).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message) as string,
    });
  });

  test('other files', async () => {
    const path = join(root, 'text.npy');
    await writeFile(path, 'hello');
    await expect(readNpy(path)).rejects.toMatchObject({ code: 'corrupt' });
    await expect(readNpy(join(root, 'none.npy'))).rejects.toMatchObject({ code: 'not-found' });
    await expect(readNpy(root)).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(writeNpy(path, Float32Array.of(1), [2])).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});
