// What `npm run bench` says before it measures anything.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const script = join(import.meta.dirname, '..', '..', 'bench', 'run.mjs');
const bench = (...args: string[]) => spawnSync(process.execPath, [script, ...args], { encoding: 'utf8' });

describe('npm run bench', () => {
  it('lists the benchmarks and the options of each', () => {
    const help = bench('--help');
    expect(help.status).toBe(0);
    for (const part of ['selection', 'lm', 'matrix-products', 'peers', 'cost', 'tokenizer', 'checkpoints', 'readme']) {
      expect(help.stdout).toMatch(new RegExp(`^  ${part} `, 'm'));
      const own = bench(part, '--help');
      expect([own.status, own.stderr]).toEqual([0, '']);
      expect(own.stdout).toMatch(/^ {2}--/m);
    }
  });
  it.each([
    [[], /^Expected selection, .* or readme after "npm run bench --" but received nothing/],
    [['selektion'], /but received "selektion"/],
    [['toString'], /but received "toString"/],
    [['selection', '--row', '5'], /^Expected --rows, .* for the benchmark "selection" but received "--row": see --help/],
    [['selection', 'five'], /but received "five"/],
    [['selection', '--rows'], /^Expected N after --rows but received nothing/],
    [['selection', '--rows', '--time', '5'], /^Expected N after --rows but received "--time"/],
    [['selection', '--rows', '0'], /^Expected a whole number of at least 1 for --rows but received "0"/],
    [['selection', '--only', 'saps,sapz'], /for --only but received "sapz"/],
    [['peers', '--rows', 'nothing'], /^Expected k-means-gaussian, .* for --rows but received "nothing"/],
    [['cost', '--axes', 'n,x'], /^Expected n, d, k or threads for --axes but received "x"/],
    [['checkpoints', '--shapes', 'gpt2-xl,gpt3'], /^Expected gpt2-small, .* for --shapes but received "gpt3"/],
    [['checkpoints', '--dtype', 'F32,BF16'], /^Expected F32, F16 or BF16 for --dtype but received "F32,BF16"/],
    [['cost', '--full=yes'], /^Expected no value for --full but received "yes"/],
  ] as const)('%j is one sentence and ends with 2', (args, message) => {
    const { status, stdout, stderr } = bench(...args);
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });
});
