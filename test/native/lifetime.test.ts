// How native work ends: each case runs in a process of its own, because what is tested is the way the process goes.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..');
const dist = (file: string) => pathToFileURL(join(root, 'dist', file)).href;
let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mendset-lifetime-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const PREPARE = `
import { addon } from '${dist('native/addon.js')}';
import { Worker, isMainThread, parentPort } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';
const config = JSON.stringify({ model_type: 'gpt2', n_embd: 192, n_head: 6, n_layer: 6, n_positions: 128, n_ctx: 128, vocab_size: 4096, layer_norm_epsilon: 1e-5, activation_function: 'gelu_new', eos_token_id: 0 });
const model = addon().createModel(config, 1n, 'cpu', 1);
const tokens = 128 * 64; // a few seconds of work on one thread
const ids = Int32Array.from({ length: tokens }, (_, i) => (i * 7919) % 4096);
const offsets = Int32Array.from({ length: 65 }, (_, i) => i * 128);
const squares = new Float64Array(64 * model.tensors().length);
const makeTask = () => addon().gradientNormTask(model, { ids, offsets }, true, -1, squares);
`;

function run(name: string, body: string): { status: number | null; stdout: string; stderr: string; ms: number } {
  const file = join(folder, `${name}.mjs`);
  writeFileSync(file, PREPARE + body);
  const started = performance.now();
  const child = spawnSync(process.execPath, ['--expose-gc', file], { encoding: 'utf8', timeout: 60_000 });
  return { status: child.status, stdout: child.stdout, stderr: child.stderr, ms: performance.now() - started };
}

describe('lifetime of native work', () => {
  it('ends by itself when a step is in flight and nobody waits', () => {
    const child = run('exit', `makeTask().step(20); console.log('left');`);
    expect(child).toMatchObject({ status: 0, stdout: 'left\n' });
  });

  it('process.exit during a step waits for about one step, not for the task', () => {
    const child = run('process-exit', `makeTask().step(30); setTimeout(() => process.exit(7), 5);`);
    expect(child.status).toBe(7);
  });

  it('terminating a worker in the middle of a step neither crashes nor hangs', () => {
    const child = run(
      'terminate',
      `if (isMainThread) {
         const worker = new Worker(fileURLToPath(import.meta.url));
         worker.once('message', async () => { await worker.terminate(); console.log('terminated'); });
       } else {
         const task = makeTask();
         parentPort.postMessage('started');
         for (;;) await task.step(30);
       }`,
    );
    expect(child).toMatchObject({ status: 0, stdout: 'terminated\n' });
  });

  it('disposing during a step waits for the step and frees afterwards', () => {
    const child = run(
      'dispose',
      `const task = makeTask(); const step = task.step(20); task.dispose(); await step;
       await task.step(1).then(() => console.log('stepped'), (error) => console.log(error.code, error.message));`,
    );
    expect(child).toMatchObject({ status: 0, stdout: 'invalid-argument The task has been disposed.\n' });
  });

  it('refuses a second step before the first has ended', () => {
    const child = run(
      'twice',
      `const task = makeTask(); const first = task.step(20);
       await task.step(1).then(() => console.log('stepped'), (error) => console.log(error.code)); await first;`,
    );
    expect(child).toMatchObject({ status: 0, stdout: 'invalid-argument\n' });
  });

  it('survives garbage collection of dropped tasks and arrays in use', () => {
    const child = run(
      'collect',
      `for (let i = 0; i < 50; i++) { makeTask(); if (i % 10 === 0) global.gc(); }
       const task = (() => addon().gradientNormTask(model, { ids: Int32Array.from(ids), offsets: Int32Array.from(offsets) }, true, -1, squares))();
       for (let i = 0; i < 5; i++) { global.gc(); await task.step(5); }
       console.log('alive');`,
    );
    expect(child).toMatchObject({ status: 0, stdout: 'alive\n' });
  });

  it('a disposed model is refused, and a task keeps the model that it uses', () => {
    const child = run(
      'model',
      `const task = makeTask(); model.dispose(); await task.step(5);
       try { makeTask(); } catch (error) { console.log(error.code, error.message); }`,
    );
    expect(child).toMatchObject({ status: 0, stdout: 'invalid-argument The model has been disposed.\n' });
  });

  it('says what is wrong with an argument', () => {
    const child = run(
      'arguments',
      `for (const call of [() => addon().gradientNormTask(model, { ids: [1, 2], offsets }, true, -1, squares), () => addon().gradientNormTask(model, { ids, offsets }, true, 99, squares), () => addon().gradientNormTask({}, { ids, offsets }, true, -1, squares), () => addon().gradientNormTask(model, { ids, offsets }, true, -1, squares, { el2n: new Float32Array(1) }), () => addon().gradientNormTask(model, { ids, offsets }, true, -1, squares, 5)]) {
         try { call(); } catch (error) { console.log(error.code, error.message); }
       }`,
    );
    expect(child.stdout.trim().split('\n')).toEqual([
      'invalid-argument Expected an Int32Array for batch.ids but received another kind of value.',
      'invalid-argument Expected an integer from -1 to 5 for block but received 99.',
      'invalid-argument Expected a native model for model.',
      'invalid-argument Expected a Float64Array for el2n but received a typed array of another kind.',
      'invalid-argument Expected an object of arrays for the scores of gradient norms.',
    ]);
  });
});
