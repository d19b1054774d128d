// The newcomer's path of the README, as it is written there.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..');
const readme = readFileSync(join(root, 'README.md'), 'utf8');
let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mendset-readme-'));
  const demo = (name: string, lines: number) =>
    writeFileSync(
      join(folder, name),
      `${readFileSync(join(root, 'assets', 'demo', name), 'utf8')
        .split('\n')
        .slice(0, lines)
        .join('\n')}\n`,
    );
  demo('pool.jsonl', 100);
  demo('prompts.jsonl', 12);
  cpSync(join(root, 'assets', 'demo', 'model'), join(folder, 'model'), { recursive: true });
  mkdirSync(join(folder, 'bin'));
  writeFileSync(join(folder, 'bin', 'mendset'), `#!/bin/sh\nexec '${process.execPath}' '${join(root, 'dist', 'cli', 'main.js')}' "$@"\n`, {
    mode: 0o755,
  });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function block(name: string): string {
  const text = new RegExp(`<!-- path: ${name} -->\\n\`\`\`\\w+\\n(.*?)\`\`\``, 's').exec(readme)?.[1] ?? '';
  expect(text.trim().split('\n').length, name).toBeLessThanOrEqual(11);
  expect(text).not.toBe('');
  return text;
}

const shell = (script: string) =>
  spawnSync('sh', ['-e', '-c', script], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 110_000,
    env: { ...process.env, PATH: `${join(folder, 'bin')}:${process.env['PATH']}` },
  });

describe.skipIf(process.platform === 'win32')('the README', () => {
  it('selects, repairs and evaluates on own data and an own model folder', () => {
    const { status, stderr } = shell(block('own data'));
    expect(status, stderr).toBe(0);
    expect(existsSync(join(folder, 'repaired', 'model.safetensors'))).toBe(true);
    expect(JSON.parse(readFileSync(join(folder, 'figures.json'), 'utf8'))).toHaveProperty('figures');
  });

  it('runs a study of its own', () => {
    const { status, stderr } = shell(block('own study'));
    expect(status, stderr).toBe(0);
    expect(readFileSync(join(folder, 'mine', 'report.html'), 'utf8')).toContain('<h1>mine</h1>');
  });

  it('writes a selector of its own', () => {
    const path = join(root, 'build', `readme-${process.pid}.mjs`);
    writeFileSync(path, block('own selector'));
    try {
      const { stdout, stderr } = spawnSync(process.execPath, [path], { encoding: 'utf8' });
      expect(stderr).toBe('');
      expect(stdout).toBe('Int32Array(2) [ 1, 2 ]\n');
    } finally {
      rmSync(path);
    }
  });
});
