// The command as a process: signals, closed pipes, exit codes. Everything else about commands is tested inside this process.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/core/package-root.ts';
import { LanguageModel } from '../../src/model/language-model.ts';
import { tinyConfig } from '../byte-tokenizer.ts';

const MAIN = join(packageRoot(), 'dist', 'cli', 'main.js');
const DEMO = join(packageRoot(), 'assets', 'demo');

let directory: string;
const at = (name: string) => join(directory, name);

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mendset-process-'));
  using small = LanguageModel.create(tinyConfig({ vocab_size: 4096, n_embd: 64, bos_token_id: 0, eos_token_id: 0 }), { seed: 1 });
  await small.save(at('model'));
  await copyFile(join(DEMO, 'model', 'tokenizer.json'), join(at('model'), 'tokenizer.json'));
  const demo = async (name: string, lines: number) => (await readFile(join(DEMO, name), 'utf8')).split('\n').slice(0, lines).join('\n');
  const pool = `${await demo('pool.jsonl', 1200)}\n`;
  await writeFile(at('pool.jsonl'), pool);
  await writeFile(at('large.jsonl'), pool.repeat(40));
  const prompts = `${await demo('prompts.jsonl', 200)}\n`;
  await writeFile(at('prompts.jsonl'), prompts);
  await writeFile(at('many-prompts.jsonl'), prompts.repeat(150));
  await writeFile(
    at('study.yaml'),
    `name: process
models: { name: tiny, path: model }
pool: { files: pool.jsonl, window: 200, validation: 20 }
selectors: [random, k-center]
repairs: [dapt, irepair, dpo]
training: { learningRate: 1.0e-3, warmupSteps: 2, epochs: 3 }
evaluation: { toxicity: { prompts: prompts.jsonl, limit: 60 } }
`,
  );
});
afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(argv: readonly string[], env: NodeJS.ProcessEnv = {}): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [MAIN, ...argv], { cwd: directory, env: { ...process.env, ...env } });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data: Buffer) => {
    stdout += data.toString();
  });
  child.stderr.on('data', (data: Buffer) => {
    stderr += data.toString();
  });
  return { child, ended: once(child, 'close').then(([code]) => ({ code: code as number | null, stdout, stderr })) };
}

const finish = (argv: readonly string[], env: NodeJS.ProcessEnv = {}) => start(argv, env).ended;

/** Sends the signal at the first line of progress, which comes five seconds into the work; one thread, so that it lasts longer than that. */
async function interrupt(argv: readonly string[], signal: NodeJS.Signals): Promise<Ended> {
  const { child, ended } = start(argv);
  child.stderr?.once('data', () => child.kill(signal));
  return await ended;
}

describe('an interrupt', () => {
  const commands: readonly (readonly [name: string, argv: readonly string[], signal: NodeJS.Signals])[] = [
    ['select', ['select', '--pool', 'large.jsonl', '--model', 'model', '--method', 'grand', '--budget', '9', '--out', 'x.jsonl'], 'SIGINT'],
    ['score', ['score', '--data', 'large.jsonl', '--model', 'model', '--what', 'loss,gradient-norm', '--out', 'x.jsonl'], 'SIGTERM'],
    [
      'generate',
      ['generate', '--prompts', 'many-prompts.jsonl', '--model', 'model', '--max-new-tokens', '60', '--out', 'x.jsonl'],
      'SIGINT',
    ],
    [
      'evaluate',
      ['evaluate', '--prompts', 'many-prompts.jsonl', '--model', 'model', '--max-new-tokens', '60', '--out', 'x.json'],
      'SIGINT',
    ],
  ];
  for (const [name, argv, signal] of commands) {
    it(`(${signal}) of ${name} ends with 130, writes nothing and says how to run it again`, async () => {
      const { code, stdout, stderr } = await interrupt([...argv, '--threads', '1'], signal);
      expect(code, stderr).toBe(130);
      expect(stdout).toBe('');
      expect(stderr).toContain(`Interrupted. Nothing was written. To run it again:\n  mendset ${argv.join(' ')} --threads 1\n`);
      expect((await readdir(directory)).filter((n) => n.startsWith('x') || n.endsWith('.tmp'))).toEqual([]);
    });
  }

  it('of repair keeps its state, and the printed line continues it', async () => {
    const argv = [
      'repair',
      '--model',
      'model',
      '--data',
      'large.jsonl',
      '--method',
      'irepair',
      '--epochs',
      '99',
      '--threads',
      '1',
      '--out',
      'repaired',
    ];
    const first = await interrupt(argv, 'SIGINT');
    expect(first.code, first.stderr).toBe(130);
    expect(first.stderr).toContain(`The state is saved in repaired.state. To continue:\n  mendset ${argv.join(' ')} --resume\n`);
    const step = async () =>
      (JSON.parse(await readFile(at('repaired.state/state.json'), 'utf8')) as { state: { step: number } }).state.step;
    const before = await step();
    expect(before).toBeGreaterThan(0);
    const second = await interrupt([...argv, '--resume', '--json'], 'SIGINT');
    expect(second.code, second.stderr).toBe(130);
    expect(JSON.parse(second.stdout)).toMatchObject({ interrupted: true });
    expect(await step()).toBeGreaterThan(before);
    await rm(at('repaired.state'), { recursive: true });
  });

  it('of repair before its first step says that nothing is saved', async () => {
    const argv = ['repair', '--model', 'model', '--data', 'large.jsonl', '--method', 'dpo', '--threads', '1', '--out', 'early'];
    // DPO reads all pairs with the original model first; a machine fast enough to be past that has a state
    const { code, stderr } = await interrupt(argv, 'SIGINT');
    expect(code, stderr).toBe(130);
    const saved = (await readdir(directory)).includes('early.state');
    expect(stderr).toContain(saved ? 'The state is saved in early.state' : 'No step was done, so nothing is saved. To run it again:');
    await rm(at('early.state'), { recursive: true, force: true });
  });

  it('of study keeps the finished cells, whose file survives a torn line, and one process computes at a time', async () => {
    const argv = ['study', 'study.yaml', '--out', 'results'];
    const { child, ended } = start(argv);
    child.stderr?.on('data', (data: Buffer) => {
      if (data.toString().includes('2. tiny')) child.kill('SIGINT');
    });
    const { code, stderr } = await ended;
    expect(code, stderr).toBe(130);
    expect(stderr).toContain('Finished cells are kept in results. To continue:\n  mendset study study.yaml --out results\n');
    await appendFile(at('results/results.jsonl'), '{"schema":1,"key":"torn');

    const one = start(argv);
    await once(one.child.stderr as NodeJS.ReadableStream, 'data'); // its first cell is done, so it holds the folder
    const other = await finish(argv);
    expect(other).toMatchObject({ code: 1, stdout: '' });
    expect(other.stderr).toContain(`Expected to be the only process computing share 1 of 1 in 'results' but process ${one.child.pid} on`);
    const rest = await one.ended;
    expect(rest.code, rest.stderr).toBe(0);
    const keys = (await readFile(at('results/results.jsonl'), 'utf8'))
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { key: string }).key);
    expect(new Set(keys).size).toBe(10);
    expect(keys).toHaveLength(10);
  });
});

describe('streams', () => {
  it('a reader that goes away early is no error', async () => {
    const generate = ['generate', '--prompts', 'prompts.jsonl', '--model', 'model', '--greedy', '--max-new-tokens', '1', '--quiet'];
    const unread = start(generate);
    unread.child.stdout?.destroy();
    expect(await unread.ended).toMatchObject({ code: 0, stderr: '' });
    const paper = ['select', '--pool', 'pool.jsonl', '--model', 'model', '--method', 'k-center', '--preset', 'paper', '--budget', '3'];
    expect((await finish([...paper, '--json'])).stderr).toContain('warning: The paper preset of k-center');
    const unheard = start([...paper, '--json']);
    unheard.child.stderr?.destroy();
    const { code, stdout } = await unheard.ended;
    expect(code).toBe(0);
    expect((JSON.parse(stdout) as { indices: number[] }).indices).toHaveLength(600);
  });

  it('--json prints one document and nothing else on stdout, whatever happens', async () => {
    const good = await finish(['generate', '--prompts', 'prompts.jsonl', '--model', 'model', '--greedy', '--json']);
    expect(good.code).toBe(0);
    expect((JSON.parse(good.stdout) as { completions: unknown[] }).completions).toHaveLength(200);
    const bad = await finish(['generate', '--prompts', 'none.jsonl', '--model', 'model', '--json']);
    expect(bad.code).toBe(2);
    expect(JSON.parse(bad.stdout)).toMatchObject({ error: { code: 'invalid-argument' } });
  });
});

describe('the environment', () => {
  const select = ['select', '--pool', 'pool.jsonl', '--method', 'k-center', '--model', 'model', '--budget', '3', '--out', 'y.jsonl'];
  const wrong: readonly (readonly [NodeJS.ProcessEnv, string])[] = [
    [{ MENDSET_ISA: 'foo' }, "MENDSET_ISA is 'foo'; expected generic, avx2, avx512 or neon."],
    [{ MENDSET_THREADS: 'many' }, 'Expected MENDSET_THREADS to be a whole number between 1 and 1024 but received "many"'],
    [{ MENDSET_THREADS: '0' }, 'Expected MENDSET_THREADS to be a whole number between 1 and 1024 but received "0"'],
    [
      { MENDSET_ADDON: '/nowhere/mendset.node' },
      'Expected the native engine at MENDSET_ADDON=/nowhere/mendset.node but it could not be loaded',
    ],
  ];
  for (const [env, sentence] of wrong) {
    it(`${JSON.stringify(env)} is refused before any work`, async () => {
      const { code, stdout, stderr } = await finish(select, env);
      expect({ code, stdout }, stderr).toEqual({ code: 2, stdout: '' });
      expect(stderr).toMatch(/^error: [^\n]*\n$/);
      expect(stderr).toContain(sentence);
      expect(await readdir(directory)).not.toContain('y.jsonl');
      expect((await finish(['info'], env)).stdout).toContain('engine         not usable: ');
    });
  }
});
