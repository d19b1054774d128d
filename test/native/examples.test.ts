// The programs in examples/ run as a user would run them, on the embedded demo model.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtinScorer, kCenter, kMeans, matrix, RandomStream, selectIndices } from '../../src/index.ts';

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

  const start = (name: string, ...args: string[]) =>
    spawn(process.execPath, [join(root, 'examples', name), ...args], { stdio: ['pipe', 'pipe', 'pipe'] });

  it('stream-select.mjs keeps the most toxic records of a stream, whatever its size', async () => {
    const lines = readFileSync(join(root, 'assets', 'demo', 'pool.jsonl'), 'utf8')
      .trim()
      .split('\n');
    const many = Array.from({ length: 12 }, () => lines).flat();
    const child = spawnSync(process.execPath, [join(root, 'examples', 'stream-select.mjs'), '24'], {
      input: `${many.join('\n')}\n`,
      encoding: 'utf8',
      timeout: 60_000,
    });
    expect(child.stderr).toBe('');
    const kept = child.stdout.trim().split('\n');
    const scorer = await builtinScorer();
    const labels = await scorer.score(lines.map((l) => (JSON.parse(l) as { rejected: string }).rejected));
    const scores = labels.map((l) => Math.max(...Object.values(l ?? { none: -1 })));
    const order = [...lines.keys()].sort((a, b) => (scores[b] as number) - (scores[a] as number) || a - b);
    // each record comes twelve times, so the two hardest fill the budget
    const expected = scores[order[0] as number] === scores[order[1] as number] ? null : Array(12).fill(lines[order[0] as number]);
    if (expected) expect(kept.slice(0, 12)).toEqual(expected);
    const least = Math.min(...kept.map((line) => scores[lines.indexOf(line)] as number));
    expect(kept).toHaveLength(24);
    expect(least).toBe(scores[order[1] as number]);
  });

  it('http-service.mjs selects, refuses nonsense, and aborts when the client goes', async () => {
    const child = start('http-service.mjs', '0');
    let log = '';
    const port = await new Promise<number>((resolve) => {
      child.stderr.on('data', (data: Buffer) => {
        log += data.toString();
        const match = /listening on (\d+)/.exec(log);
        if (match) resolve(Number(match[1]));
      });
    });
    const post = (document: unknown, signal?: AbortSignal) =>
      fetch(`http://127.0.0.1:${port}/select`, { method: 'POST', body: JSON.stringify(document), signal: signal ?? null });
    const random = new RandomStream(1, 0);
    const rows = (n: number) => Array.from({ length: n }, () => Array.from({ length: 16 }, () => random.next() / 2 ** 32));
    const embeddings = rows(300);
    const answer = (await (await post({ embeddings, budget: 20, seed: 3 })).json()) as { indices: number[] };
    const direct = await selectIndices(kCenter({ space: 'raw' }), {
      n: 300,
      budget: { count: 20 },
      seed: 3,
      features: { embeddings: matrix(Float32Array.from(embeddings.flat()), 300, 16) },
    });
    expect(answer.indices).toEqual([...direct.indices]);
    const wrong = await post({ embeddings, budget: 301 });
    expect(wrong.status).toBe(400);
    expect(await wrong.json()).toMatchObject({ code: 'invalid-argument' });
    const controller = new AbortController();
    const large = post({ embeddings: rows(40_000), budget: 20_000 }, controller.signal);
    const watch = setInterval(() => {
      if (!log.includes('selecting 20000 of 40000')) return;
      clearInterval(watch);
      controller.abort();
    }, 5);
    await expect(large).rejects.toThrow();
    for (let i = 0; i < 100 && !log.includes('client gone'); i++) await new Promise((resolve) => setTimeout(resolve, 100));
    expect(log).toContain('client gone: aborted');
    // it still serves
    expect((await post({ embeddings, budget: 5, method: 'random' })).status).toBe(200);
    child.kill('SIGTERM');
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(0);
  });

  it('worker-pool.mjs gives the results of one thread', async () => {
    const child = spawnSync(process.execPath, [join(root, 'examples', 'worker-pool.mjs')], { encoding: 'utf8', timeout: 60_000 });
    expect(child.stderr).toBe('');
    const { inertia } = JSON.parse(child.stdout) as { inertia: number[] };
    expect(inertia).toHaveLength(12);
    const stream = new RandomStream(5, 0);
    const points = matrix(
      Float32Array.from({ length: 2000 * 16 }, () => stream.next() / 2 ** 32),
      2000,
      16,
    );
    expect(inertia[5]).toBe((await kMeans(points, { k: 8, seed: 1 })).inertia);
  });

  it('own-selector.mjs measures a selector of its own beside ours', () => {
    const child = spawnSync(process.execPath, [join(root, 'examples', 'own-selector.mjs')], { encoding: 'utf8', timeout: 60_000 });
    expect(child.stderr).toBe('');
    const coverage = (name: string) => Number(new RegExp(`'${name}'\\s*│[^│]*│\\s*([\\d.]+)`).exec(child.stdout)?.[1]);
    expect(coverage('k-center')).toBeLessThan(coverage('random'));
    expect(coverage('outermost')).toBeGreaterThan(coverage('k-center'));
  });
});
