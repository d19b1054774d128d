// What surrounds the commands: help, completion, logs, several bars, caches, launch files.
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { COMMANDS, SHARED_OPTIONS } from '../../src/cli/command-table.ts';
import { ProgressReporter } from '../../src/cli/progress.ts';
import { packageRoot } from '../../src/core/package-root.ts';
import { cli, errors } from './cli-fixture.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mendset-cli-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

describe('command line help and shells', () => {
  it('every command has examples, which are command lines that it understands', async () => {
    for (const spec of COMMANDS) {
      const help = await cli([spec.name, '--help']);
      expect(help.stdout, spec.name).toContain('Examples:');
      expect(spec.examples.length).toBeGreaterThan(0);
      for (const [line] of spec.examples) {
        const words = line.split(' > ')[0]?.split(' ') ?? [];
        expect(words.slice(0, 2)).toEqual(['mendset', spec.name]);
        const known = [...spec.options, ...SHARED_OPTIONS].map((o) => o.flags.split(' ')[0]);
        for (const word of words.filter((w) => w.startsWith('--'))) expect(known, `${spec.name} ${word}`).toContain(word);
      }
    }
  });

  it('prints a completion script for each shell with every command and option', async () => {
    for (const shell of ['bash', 'zsh', 'fish']) {
      const { code, stdout } = await cli(['completion', shell]);
      expect(code).toBe(0);
      for (const spec of COMMANDS) {
        expect(stdout).toContain(spec.name);
        for (const o of spec.options)
          expect(stdout).toContain(shell === 'fish' ? `-l ${o.flags.split(' ')[0]?.slice(2)} ` : (o.flags.split(' ')[0] as string));
      }
    }
    expect(errors(await cli(['completion', 'bahs']))[0]).toMatch(/Did you mean "bash"\?/);
  });

  it.skipIf(spawnSync('bash', ['-c', 'true']).status !== 0)('completes in bash', async () => {
    const { stdout } = await cli(['completion', 'bash']);
    const complete = (words: string[]) =>
      spawnSync(
        'bash',
        [
          '-c',
          `${stdout}\nCOMP_WORDS=(${words.map((w) => `'${w}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _mendset; printf '%s\\n' "\${COMPREPLY[@]}"`,
        ],
        { encoding: 'utf8' },
      )
        .stdout.trim()
        .split('\n');
    expect(complete(['mendset', 'stu'])).toEqual(['study']);
    expect(complete(['mendset', 'study', '--tune'])).toEqual(['--tune', '--tune-budget']);
    // words that an option or an argument may have; files are left to the shell
    expect(complete(['mendset', 'repair', '--method', ''])).toEqual(['dapt', 'sft', 'dpo', 'npo', 'irepair']);
    expect(complete(['mendset', 'select', '--method', 'k'])).toEqual(['k-center']);
    expect(complete(['mendset', 'profile', ''])).toEqual(['select', 'repair']);
    expect(complete(['mendset', 'repair', '--out', ''])).toEqual(['']);
    expect(complete(['mendset', 'repair', '--recompute', '--re'])).toEqual(['--recompute', '--references', '--resume']);
  });

  it('completes values in the other shells too', async () => {
    const zsh = (await cli(['completion', 'zsh'])).stdout;
    expect(zsh).toContain(':value:(dapt sft dpo npo irepair)');
    expect(zsh).toContain("'2:select|repair:(select repair)'");
    const fish = (await cli(['completion', 'fish'])).stdout;
    expect(fish).toContain("-l method -x -a 'dapt sft dpo npo irepair' -d");
    expect(fish).toContain("__fish_seen_subcommand_from profile' -f -a 'select repair' -d");
    expect(fish).toMatch(/from repair' -l out -r -d/);
  });

  it('the words that complete are words that are accepted', async () => {
    // profile takes the words of two commands
    for (const { name, options } of COMMANDS.filter((c) => c.name !== 'profile'))
      for (const { flags, values } of options.filter((o) => o.values)) {
        const flag = flags.split(' ')[0] as string;
        for (const value of values ?? []) {
          const found = errors(await cli([name, flag, value]));
          expect(
            found.filter((e) => e.includes(flag) && e.includes(`"${value}"`)),
            `${name} ${flag} ${value}`,
          ).toEqual([]);
        }
      }
  });

  it('info tells the caches of a study and of the Hub, and how to clear them', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mendset-info-'));
    const before = process.env['HF_HUB_CACHE'];
    try {
      await mkdir(join(folder, 'study', 'cache', 'references'), { recursive: true });
      await writeFile(join(folder, 'study', 'cache', 'references', 'a.bin'), 'x'.repeat(2048));
      await mkdir(join(folder, 'hub', 'models--a--b', 'blobs'), { recursive: true });
      await writeFile(join(folder, 'hub', 'models--a--b', 'blobs', 'c'), 'x'.repeat(1024));
      process.env['HF_HUB_CACHE'] = join(folder, 'hub');
      const { stdout } = await cli(['info', '--study', join(folder, 'study')]);
      expect(stdout).toMatch(/cache references\s+2\.0 KiB in 1 files/);
      expect(stdout).toMatch(/to clear: .*cache .*--clear/);
      expect(stdout).toMatch(/hub cache\s+1\.0 KiB in 1 files/);
      expect(JSON.parse((await cli(['info', '--json'])).stdout)).toMatchObject({ hub: { bytes: 1024, files: 1 }, caches: null });
    } finally {
      if (before === undefined) delete process.env['HF_HUB_CACHE'];
      else process.env['HF_HUB_CACHE'] = before;
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('speaks to machines in JSON lines', async () => {
    const run = await cli(['select', '--method', 'kcenter', '--log-format', 'json']);
    expect(run.code).toBe(2);
    const lines = run.stderr
      .trim()
      .split('\n')
      .map((l) => JSON.parse(l) as { level: string; code: string; message: string });
    expect(lines.length).toBeGreaterThan(1);
    expect(lines.every((l) => l.level === 'error' && l.code === 'invalid-argument')).toBe(true);
    expect(lines.some((l) => /Did you mean "k-center"\?/.test(l.message))).toBe(true);
  });

  it('draws one line for each thing that goes on, and clears them', () => {
    let out = '';
    let now = 0;
    const io = { stderr: (t: string) => (out += t), interactive: true, columns: 70 } as never;
    const progress = new ProgressReporter(io, { quiet: false, now: () => now });
    for (now = 0; now <= 1000; now += 50) {
      progress.update({ phase: 'repair', done: now, total: 2000 }, 'cell 1');
      progress.update({ phase: 'embedding', done: now, total: 4000 }, 'cell 2');
    }
    const last = out.split('\r').at(-1) as string;
    expect(
      last
        .replaceAll('\u001b[2K', '')
        .split('\n')
        .map((l) => l.slice(0, 14)),
    ).toEqual(['cell 1: repair', 'cell 2: embedd']);
    expect(
      last
        .replaceAll('\u001b[2K', '')
        .split('\n')
        .every((l) => l.length < 70),
    ).toBe(true);
    out = '';
    progress.end('cell 1');
    progress.log('cell 1: done');
    // both lines are removed before the line that stays
    expect(out).toBe('\r\u001b[2K\u001b[1A\u001b[2Kcell 1: done\n');
  });

  it('measures and clears what a study folder caches, and keeps the results', async () => {
    await mkdir(join(directory, 'cache', 'references'), { recursive: true });
    await writeFile(join(directory, 'cache', 'a.npy'), 'x'.repeat(2048));
    await writeFile(join(directory, 'cache', 'references', 'b.f32'), 'x'.repeat(1024));
    await writeFile(join(directory, 'results.jsonl'), '');
    const shown = JSON.parse((await cli(['cache', directory, '--json'])).stdout) as {
      bytes: number;
      entries: { name: string; bytes: number }[];
    };
    expect(shown.entries.map((e) => [e.name, e.bytes])).toEqual([
      ['references', 1024],
      ['features', 2048],
    ]);
    expect((await cli(['cache', directory])).stdout).toContain(`mendset cache ${directory} --clear`);
    await cli(['cache', directory, '--clear']);
    expect(await readdir(directory)).toEqual(['results.jsonl']);
  });

  it('writes launch files whose tasks are the shares of the grid', async () => {
    const study = join(packageRoot(), 'examples', 'quickstart.yaml');
    const slurm = await cli(['study', 'export', study, '--slurm', '--out', directory]);
    expect(slurm.code, slurm.stderr).toBe(0);
    expect(slurm.stdout).toContain('#SBATCH --array=1-5\n');
    expect(slurm.stdout).toContain(`--cells "${'$'}{SLURM_ARRAY_TASK_ID}/5"`);
    expect(spawnSync('bash', ['-n'], { input: slurm.stdout }).status).toBe(0);
    const k8s = await cli([
      'study',
      'export',
      study,
      '--k8s',
      '--out',
      'results',
      '--image',
      'registry/mendset:1',
      '--claim',
      'data',
      '--shares',
      '3',
    ]);
    expect(k8s.code, k8s.stderr).toBe(0);
    const job = parse(k8s.stdout) as {
      spec: { completions: number; completionMode: string; template: { spec: { containers: { command: string[] }[] } } };
    };
    expect(job.spec).toMatchObject({ completions: 3, completionMode: 'Indexed', backoffLimitPerIndex: 3 });
    expect(job.spec.template.spec.containers[0]?.command[2]).toContain('--cells "$((JOB_COMPLETION_INDEX + 1))/3"');
    expect(errors(await cli(['study', 'export', study, '--out', directory]))[0]).toMatch(/either --slurm or --k8s/);
  });
});
