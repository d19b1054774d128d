// A matrix that is larger than its memory limit: the process that selects from it never holds it.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..');
const [n, d] = [300_000, 160];
const MiB = 2 ** 20;
const matrixBytes = 4 * n * d; // 183 MiB
let folder = '';

/** Small halves: sign, exponent of 1 to 8, all fractions. */
function half(i: number): number {
  const bits = Math.imul(i, 2654435761) >>> 0;
  return (bits & 0x8000) | ((15 + ((bits >>> 16) & 3)) << 10) | (bits & 0x3ff);
}

function npyHeader(descr: string): Buffer {
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${n}, ${d}), }`.padEnd(117);
  return Buffer.concat([Buffer.from('\x93NUMPY\x01\x00', 'latin1'), Buffer.from([118, 0]), Buffer.from(`${text}\n`)]);
}

beforeAll(() => {
  folder = mkdtempSync(join(root, 'build', 'beyond-memory-'));
  const halves = new Uint16Array(n * d);
  const singles = new Float32Array(n * d);
  for (let i = 0; i < n * d; i++) {
    const bits = half(i);
    halves[i] = bits;
    singles[i] = ((bits & 0x8000) === 0 ? 1 : -1) * (1 + (bits & 0x3ff) / 1024) * (1 << (((bits >> 10) & 31) - 15));
  }
  writeFileSync(join(folder, 'half.npy'), Buffer.concat([npyHeader('<f2'), Buffer.from(halves.buffer)]));
  writeFileSync(join(folder, 'single.npy'), Buffer.concat([npyHeader('<f4'), Buffer.from(singles.buffer)]));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Report {
  readonly indices: readonly number[];
  /** memory of this process that no file backs, at its largest */
  readonly peak: number;
  readonly before: number;
  readonly mapped: boolean;
}

function selectIn(file: string, limit: number | null): Report | { readonly code: string; readonly message: string } {
  const script = `
import { readFileSync } from 'node:fs';
import { kCenter, pca, readEmbeddings, selectIndices } from '${pathToFileURL(join(root, 'dist', 'index.js')).href}';
import { isMapped } from '${pathToFileURL(join(root, 'dist', 'native', 'map-file.js')).href}';
const anonymous = () => 1024 * Number(/RssAnon:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
const before = anonymous();
let peak = before;
const onProgress = () => { peak = Math.max(peak, anonymous()); };
const limit = ${limit};
const options = limit === null ? {} : { memoryLimit: limit };
try {
  const selector = kCenter({ space: 'raw', first: 0 });
  const workBytes = (n, d) => selector.workBytes(n, d, 40);
  const embeddings = await readEmbeddings(${JSON.stringify(join(folder, file))}, { ...options, workBytes, onProgress, temporary: ${JSON.stringify(folder)} });
  const { indices } = await selectIndices(selector, { n: embeddings.rows, budget: { count: 40 }, features: { embeddings } }, { ...options, onProgress });
  const { variances } = await pca(embeddings, { components: 4, onProgress });
  onProgress();
  console.log(JSON.stringify({ indices: [...indices, ...variances], peak, before, mapped: isMapped(embeddings.data) }));
} catch ({ code, message }) {
  console.log(JSON.stringify({ code, message }));
}`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', timeout: 100_000 });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout);
}

describe.runIf(process.platform === 'linux')('a matrix beyond the memory limit', () => {
  const limit = 96 * MiB;
  it('stays on disk, whatever its format, and gives the selection of one in memory', () => {
    const inMemory = selectIn('half.npy', null) as Report;
    expect(inMemory.mapped).toBe(false);
    expect(inMemory.peak - inMemory.before).toBeGreaterThan(matrixBytes);
    for (const file of ['half.npy', 'single.npy']) {
      const onDisk = selectIn(file, limit) as Report;
      expect(onDisk.mapped).toBe(true);
      expect(onDisk.indices).toEqual(inMemory.indices);
      expect(onDisk.peak - onDisk.before).toBeLessThan(limit);
    }
  });
  it('is refused before any work where the work alone does not fit, with the numbers', () => {
    expect(selectIn('half.npy', 8 * MiB)).toMatchObject({
      code: 'out-of-memory',
      message: expect.stringMatching(/half\.npy to fit into 8\.0 MiB .* needs about .* \(input 183\.1 MiB, work \d+\.\d MiB, reading/),
    });
  });
});
