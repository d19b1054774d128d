import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { sha256File, sha256Hex } from '../../../src/core/hash.ts';

const ABC = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'; // FIPS 180-4, appendix

it('hashes texts, bytes and lists', () => {
  expect(sha256Hex('abc')).toBe(ABC);
  expect(sha256Hex(new Uint8Array([97, 98, 99]))).toBe(ABC);
  expect(sha256Hex(['a', new Uint8Array([98]), 'c'])).toBe(ABC);
});

it('hashes files and names a missing one', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mendset-hash-'));
  try {
    writeFileSync(join(folder, 'abc'), 'abc');
    expect(await sha256File(join(folder, 'abc'))).toBe(ABC);
    await expect(sha256File(join(folder, 'none'))).rejects.toMatchObject({ code: 'not-found' });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
