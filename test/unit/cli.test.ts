import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { commandLine } from '../../src/cli/command-line.ts';
import { COMMANDS } from '../../src/cli/command-table.ts';
import { parseBudget, parseNumber } from '../../src/cli/option-reader.ts';
import { ProgressReporter, progressLine } from '../../src/cli/progress.ts';
import { cli, errors } from './cli-fixture.ts';
import { syntheticResults, writeSyntheticStudy } from './study-fixture.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mendset-cli-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

describe('numbers on the command line', () => {
  it('are read strictly', () => {
    for (const [text, value] of [
      ['12', 12],
      ['-3', -3],
      ['0.5', 0.5],
      ['.5', 0.5],
      ['1e-3', 1e-3],
      ['2.', 2],
    ] as const)
      expect(parseNumber(text), text).toBe(value);
    for (const text of ['', ' 1', '1 ', '0x10', '1_000', '0.5x', 'NaN', 'Infinity', '1e999', '--', '1,5', 'half'])
      expect(parseNumber(text), text).toBeNull();
    expect(parseNumber(Number.NaN)).toBeNull();
  });

  it('tell shares from counts', () => {
    expect(parseBudget('0.5')).toEqual({ fraction: 0.5 });
    expect(parseBudget('1.0')).toEqual({ fraction: 1 });
    expect(parseBudget('1')).toEqual({ count: 1 });
    expect(parseBudget('200')).toEqual({ count: 200 });
    expect(parseBudget(200)).toEqual({ count: 200 });
    expect(parseBudget('5e-1')).toEqual({ fraction: 0.5 });
    for (const bad of ['0', '0.0', '-1', '-0.5', '1.5', '50%', '0.5x', '', 'all', Number.NaN, null])
      expect(parseBudget(bad), String(bad)).toBeNull();
  });
});

describe('command line', () => {
  it('suggests commands and options', async () => {
    const unknown = await cli(['selct']);
    expect(unknown.code).toBe(2);
    expect(errors(unknown)[0]).toMatch(/received "selct"\. Did you mean "select"\?/);
    expect(errors(await cli(['select', '--methd', 'saps']))[0]).toBe('Unknown option --methd for select. Did you mean "--method"?');
    expect(errors(await cli(['select', '--method']))[0]).toBe('Expected a value after --method but there is none.');
  });

  it('lists all mistakes at once and nothing on stdout', async () => {
    const run = await cli([
      'select',
      '--pool',
      join(directory, 'none.jsonl'),
      '--method',
      'sap',
      '--budget',
      '0.5x',
      '--threads',
      '0',
      '--seed',
      '-1',
      '--out',
      join(directory, 'no', 'x.jsonl'),
    ]);
    expect(run.code).toBe(2);
    expect(run.stdout).toBe('');
    expect(errors(run)).toEqual([
      'Expected --seed to be a whole number of at least 0 but received "-1".',
      'Expected --threads to be a whole number between 1 and 1024 but received "0".',
      expect.stringMatching(/^Expected --out to be a file that can be written but no file can be created in '.*no' \(ENOENT\)/),
      'Expected --method to be one of random, k-center, grand, ccs, saps, uniform, stratified, facility-location, herding, moderate, d2, deduplicate but received "sap". Did you mean "saps"?',
      'Expected --budget to be a share above 0 and below 1 (0.5; 1.0 for all) or a whole number of records of at least 1 but received "0.5x".',
      expect.stringMatching(/^Expected --pool to be a file that exists but there is none at /),
    ]);
  });

  it('prints errors as one document with --json', async () => {
    const run = await cli(['evaluate', '--json']);
    expect(run.code).toBe(2);
    expect(JSON.parse(run.stdout)).toMatchObject({
      error: { code: 'invalid-argument', problems: [expect.stringContaining('--model'), expect.stringContaining('--prompts')] },
    });
  });

  it('refuses options that the method does not use', async () => {
    expect(
      errors(await cli(['select', '--pool', directory, '--method', 'random', '--budget', '1', '--clusters', '3', '--json'])),
    ).toContain('Expected no --clusters with --method random, which does not use it.');
  });

  it('reads options from YAML, lets flags override them, and names unknown keys with their place', async () => {
    const config = join(directory, 'c.yaml');
    await writeFile(config, 'method: saps\nbudgt: 5\n');
    const wrong = await cli(['select', '--config', config, '--json']);
    expect(errors(wrong)[0]).toBe(`${config}:2:1: unknown option "budgt". Did you mean "budget"?`);
    await writeFile(config, 'method: nonsense\nbudget: 0\n');
    const found = errors(await cli(['select', '--config', config, '--method', 'random', '--json']));
    expect(found).toContainEqual(expect.stringMatching(/c\.yaml:2:1: budget to be a share above 0/));
    expect(found.join()).not.toContain('nonsense');
  });

  it('explains every command', async () => {
    const help = await cli(['--help']);
    expect(help.code).toBe(0);
    for (const { name } of COMMANDS) {
      expect(help.stdout).toContain(name);
      const own = await cli([name, '--help']);
      expect(own.code).toBe(0);
      for (const flag of ['--json', '--quiet', '--seed', '--threads', '--backend', '--config']) expect(own.stdout, name).toContain(flag);
    }
  });

  it('writes a report without the native engine', async () => {
    await writeSyntheticStudy(directory, syntheticResults());
    const run = await cli(['report', directory, '--json']);
    expect(run.code).toBe(0);
    expect(JSON.parse(run.stdout)).toMatchObject({ cells: 31, failed: 0 });
    expect(await readdir(directory)).toEqual(expect.arrayContaining(['report.html', 'report.txt', 'cells.csv', 'groups.csv']));
    const elsewhere = join(directory, 'new', 'folder');
    expect((await cli(['report', directory, '--out', elsewhere])).code).toBe(0);
    expect(await readdir(elsewhere)).toEqual(['cells.csv', 'groups.csv', 'report.html', 'report.txt']);
    expect(errors(await cli(['report', join(directory, 'none')]))).toEqual([
      expect.stringMatching(/^Expected the study folder to be a folder that exists but there is none at/),
    ]);
    expect(errors(await cli(['report', join(directory, 'results.jsonl')]))).toEqual([
      expect.stringMatching(/^Expected the study folder to be a folder but '.*results\.jsonl' is a file\.$/),
    ]);
    expect(errors(await cli(['report', join(directory, 'samples')]))[0]).toMatch(/^Expected results\.jsonl with at least one cell in/);
    expect(errors(await cli(['study', directory, '--out', join(directory, 'x')]))).toContain(
      `Expected the study to be a file but '${directory}' is a folder.`,
    );
    expect(errors(await cli(['report']))[0]).toMatch(/Expected mendset report <dir>/);
  });

  it('checks a study before anything is created', async () => {
    const yaml = join(directory, 's.yaml');
    await writeFile(
      yaml,
      'name: s\nmodels: nowhere\npool: { files: gone.jsonl }\nselectors: random\nrepairs: dapt\nevaluation: { toxicity: gone.txt }\n',
    );
    const out = join(directory, 'out');
    const run = await cli(['study', yaml, '--out', out, '--cells', '3/2']);
    expect(run.code).toBe(2);
    expect(errors(run)).toEqual([
      expect.stringContaining('Expected --cells as i/n'),
      expect.stringMatching(/s\.yaml:2:9: models: expected a folder that exists/),
      expect.stringMatching(/s\.yaml:3:16: pool\.files: expected a file that exists/),
      expect.stringMatching(/s\.yaml:6:25: evaluation\.toxicity: expected a file that exists/),
    ]);
    expect(await readdir(directory)).toEqual(['s.yaml']);
  });

  it('leaves an existing output alone when the input is wrong', async () => {
    const out = join(directory, 'old.jsonl');
    await writeFile(out, 'precious\n');
    const pool = join(directory, 'p.jsonl');
    await writeFile(pool, '{"prompt":"a","chosen":"b","rejected":"c"}\n{oops\n');
    const run = await cli(['select', '--pool', pool, '--method', 'random', '--budget', '1', '--out', out]);
    expect(run.code).toBe(2);
    expect(errors(run)[0]).toContain('p.jsonl:2');
    expect(await readFile(out, 'utf8')).toBe('precious\n');
  });

  it('quotes the line that resumes', () => {
    expect(commandLine(['study', 'my study.yaml', '--out', 'o'], ['--resume'])).toBe("mendset study 'my study.yaml' --out o --resume");
  });
});

describe('progress', () => {
  it('shows share, rate and time left', () => {
    expect(progressLine('repair', { phase: 'repair', done: 50, total: 200, detail: 'loss 3.2' }, 5, 0)).toBe(
      'repair 25 % 50/200 10/s 15 s left loss 3.2',
    );
    const bar = progressLine('repair', { phase: 'repair', done: 50, total: 200 }, 5, 80);
    expect(bar).toMatch(/^repair \[######-+\] 25 % /);
    expect(progressLine('a very long name of a phase', { phase: '', done: 1, total: 2 }, 1, 20)).toHaveLength(20);
  });

  it('prints a line only every few seconds when not on a terminal, and nothing when quiet', () => {
    let now = 0;
    let text = '';
    const io = {
      stdout: () => undefined,
      stderr: (t: string) => {
        text += t;
      },
      interactive: false,
      colour: false,
      columns: 80,
      onInterrupt: () => () => undefined,
      exit: () => undefined,
    };
    const progress = new ProgressReporter(io, { quiet: false, now: () => now });
    for (now = 0; now <= 12_000; now += 100) progress.update({ phase: 'p', done: now, total: 12_000 });
    expect(text.trim().split('\n')).toHaveLength(2);
    text = '';
    const quiet = new ProgressReporter(io, { quiet: true, now: () => now });
    quiet.update({ phase: 'p', done: 1, total: 1 });
    quiet.log('words');
    expect(text).toBe('');
  });
});
