// The programs in examples/ run as a user would run them, on the embedded demo model.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..');
let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mendset-examples-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('examples', () => {
  it('select-and-repair.mjs selects half, repairs, saves, and compares', () => {
    const out = join(folder, 'repaired');
    const child = spawnSync(process.execPath, [join(root, 'examples', 'select-and-repair.mjs'), out], {
      encoding: 'utf8',
      timeout: 110_000,
    });
    expect(child.stderr).toMatch(/step \d+: loss \d/);
    expect(child.status).toBe(0);
    const result = JSON.parse(child.stdout) as { selected: number; of: number; steps: number; blocks: number[]; toxicity: number[] };
    expect(result).toMatchObject({ selected: 60, of: 120, steps: 15 });
    expect(result.blocks.reduce((a, b) => a + b, 0)).toBe(15);
    for (const file of ['config.json', 'model.safetensors', 'tokenizer.json']) expect(existsSync(join(out, file))).toBe(true);
  });
});
