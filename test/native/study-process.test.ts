// A study as processes: killed at random, split over processes and machines, it ends with the same results.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/core/package-root.ts';
import { PythonRandom } from '../../src/core/random.ts';
import { LanguageModel } from '../../src/model/language-model.ts';
import { readResults } from '../../src/study/results-file.ts';
import { tinyConfig } from '../byte-tokenizer.ts';
import { comparableResults } from '../study-comparison.ts';

const MAIN = join(packageRoot(), 'dist', 'cli', 'main.js');
const DEMO = join(packageRoot(), 'assets', 'demo');
let directory: string;
const at = (...names: string[]) => join(directory, ...names);

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mendset-study-process-'));
  using small = LanguageModel.create(tinyConfig({ vocab_size: 4096, n_embd: 64, bos_token_id: 0, eos_token_id: 0 }), { seed: 1 });
  await small.save(at('model'));
  await copyFile(join(DEMO, 'model', 'tokenizer.json'), at('model', 'tokenizer.json'));
  await writeFile(
    at('study.yaml'),
    `name: killed
models: model
pool: { files: demo:pool.jsonl, window: 120, validation: 16 }
normal: demo:normal.jsonl
selectors: [random, grand, saps]
repairs: [dapt, { method: irepair, kl: 1 }, dpo]
seeds: [43, 44]
training: { learningRate: 1.0e-3, warmupSteps: 2, epochs: 4 }
evaluation: { toxicity: { prompts: demo:prompts.jsonl, limit: 30 }, lastWord: { file: demo:last-word.jsonl, limit: 20 } }
`,
  );
});
afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

function start(argv: readonly string[]) {
  const child = spawn(process.execPath, [MAIN, 'study', at('study.yaml'), ...argv], { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (data: Buffer) => {
    stderr += data.toString();
  });
  return {
    child,
    ended: once(child, 'close').then(([code, signal]) => ({ code: code as number | null, signal: signal as string | null, stderr })),
  };
}

async function finish(argv: readonly string[]): Promise<void> {
  const { code, stderr } = await start(argv).ended;
  expect(code, stderr).toBe(0);
}

describe('a study', () => {
  it('killed twenty times at random ends with the results of an undisturbed run, and a second run computes nothing', async () => {
    await finish(['--out', at('whole')]);
    const random = new PythonRandom(5);
    let killed = 0;
    let cells = 0;
    for (let attempt = 0; killed < 20; attempt++) {
      const { child, ended } = start(['--out', at('killed')]);
      // some die while they start, some in the middle of a cell, some while a line is written
      await Promise.race([setTimeout(200 + random.below(900)), ended]);
      child.kill(attempt % 4 === 3 ? 'SIGTERM' : 'SIGKILL');
      const { code, signal, stderr } = await ended;
      if (code === 0) await rm(at('killed'), { recursive: true, force: true });
      else {
        expect(signal === 'SIGKILL' || signal === 'SIGTERM' || code === 130, stderr).toBe(true);
        killed++;
      }
      const held = (await readResults(at('killed'))).length;
      // nothing that was finished is ever lost
      expect(held).toBeGreaterThanOrEqual(code === 0 ? 0 : cells);
      cells = held;
    }
    await finish(['--out', at('killed')]);
    expect(comparableResults(at('killed', 'results.jsonl'))).toEqual(comparableResults(at('whole', 'results.jsonl')));
    const before = await readFile(at('killed', 'results.jsonl'), 'utf8');
    const { code, stderr } = await start(['--out', at('killed')]).ended;
    expect([code, stderr]).toEqual([0, '']);
    expect(await readFile(at('killed', 'results.jsonl'), 'utf8')).toBe(before);
  }, 240_000);

  it('computed by two processes at once, and by three shares of one folder, has the same results', async () => {
    await finish(['--out', at('jobs'), '--jobs', '2']);
    expect(comparableResults(at('jobs', 'results.jsonl'))).toEqual(comparableResults(at('whole', 'results.jsonl')));
    await Promise.all(['1/3', '2/3', '3/3'].map((cells) => finish(['--out', at('shares'), '--cells', cells, '--threads', '1'])));
    const shares = [1, 2, 3].flatMap((i) => comparableResults(at('shares', `results-${i}-of-3.jsonl`)) as { key: string }[]);
    const whole = comparableResults(at('whole', 'results.jsonl')) as { key: string }[];
    const byKey = new Map(shares.map((r) => [r.key, r]));
    expect([...byKey.keys()].sort()).toEqual(whole.map((r) => r.key).sort());
    for (const result of whole) expect(byKey.get(result.key)).toEqual(result);
  }, 120_000);

  it('refuses more processes than fit into the memory, before anything is created', async () => {
    const { code, stderr } = await start(['--out', at('full'), '--jobs', '64', '--memory-limit', '300MiB']).ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/Expected 64 processes of this study to fit into 300\.0 MiB \(the memory limit\) but it needs about/);
    await expect(readFile(at('full', 'study.json'))).rejects.toThrow();
    await mkdir(at('full'), { recursive: true });
  });
});
