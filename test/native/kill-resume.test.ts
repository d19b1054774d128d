/** A repair that is killed again and again ends with the weights of one that never was. 200 kills: node scripts/kill-resume.mjs. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/core/package-root.ts';

const run = promisify(execFile);

describe('a killed repair', () => {
  it.each([
    ['irepair', 14, []],
    ['dpo, LoRA', 6, ['--method', 'dpo', '--lora', '4']],
  ] as const)(
    'is resumed to the same bits: %s, %i kills',
    async (_, kills, extra) => {
      const script = join(packageRoot(), 'scripts', 'kill-resume.mjs');
      const { stdout } = await run(process.execPath, [script, '--kills', String(kills), '--steps', '8', ...extra]);
      expect(JSON.parse(stdout)).toMatchObject({ identical: true, total: kills });
    },
    300_000,
  );
});
