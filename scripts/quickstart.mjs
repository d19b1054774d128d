// The quickstart in one command: installs and builds what is missing, runs examples/quickstart.yaml and writes its report.
// Uses Node alone. Interrupt it with Ctrl-C at any time; the same command goes on where it stopped.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { values, positionals } = parseArgs({ options: { backend: { type: 'string' } }, allowPositionals: true });
const out = positionals[0] ?? join(process.cwd(), 'quickstart-out');
const backend = values.backend === undefined ? [] : ['--backend', values.backend];
const windows = process.platform === 'win32';

/** Runs a command with our terminal and returns its exit code; Ctrl-C reaches it directly, so it is only waited for here. */
function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: 'inherit', ...options });
    child.on('error', reject);
    child.on('exit', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 1)));
  });
}

async function must(what, command, args, options) {
  const code = await run(command, args, options);
  if (code === 0) return;
  if (code !== 130) console.error(`quickstart: ${what} failed (exit code ${code}).`);
  process.exit(code);
}

process.on('SIGINT', () => undefined);

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 17)) {
  console.error(`quickstart: expected Node 20.17 or newer but this is ${process.version}; install a newer Node.`);
  process.exit(2);
}
if (!existsSync(join(root, 'node_modules', 'commander'))) {
  console.error('quickstart: installing dependencies (npm install)');
  await must('npm install', windows ? 'npm.cmd' : 'npm', ['install'], { shell: windows });
}
// returns at once when everything is up to date
await must('the build', process.execPath, [join('scripts', 'prepare.mjs')]);

const cli = join(root, 'dist', 'cli', 'main.js');
await must('the study', process.execPath, [cli, 'study', join(root, 'examples', 'quickstart.yaml'), '--out', out, ...backend]);
await must('the report', process.execPath, [cli, 'report', out, '--quiet'], { stdio: ['inherit', 'ignore', 'inherit'] });

const shown = (name) => relative(process.cwd(), join(out, name)) || name;
console.log(`
results  ${shown('results.jsonl')}   one line for each cell, every figure with its convention
report   ${shown('report.html')}     open it in a browser
table    ${shown('report.txt')}`);
