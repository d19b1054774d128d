// Kills a repair of the demo model at random moments, resumes it, and compares the final weights with those of a run that was never
// interrupted: `node scripts/kill-resume.mjs [--kills 200] [--seed 1] [--method irepair] [--lora 4]`. Needs the built command (dist).
// Signals alternate: three SIGKILL for each SIGINT and SIGTERM. Prints one JSON line; exits with 1 at the first difference.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const DEMO = join(ROOT, 'assets', 'demo');
const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    method: { type: 'string', default: 'irepair' },
    steps: { type: 'string', default: '16' },
    lora: { type: 'string' },
    model: { type: 'string', default: join(DEMO, 'model') },
  },
});
const SIGNALS = ['SIGKILL', 'SIGKILL', 'SIGINT', 'SIGKILL', 'SIGTERM'];

/** Park-Miller: the moments of a seed are the same on every machine, though not what they hit. */
let state = Number(values.seed);
const random = () => {
  state = (state * 48271) % 2147483647;
  return state / 2147483647;
};

const folder = await mkdtemp(join(tmpdir(), 'mendset-kill-'));
const pool = (await readFile(join(DEMO, 'pool.jsonl'), 'utf8')).split('\n');
await writeFile(join(folder, 'train.jsonl'), `${pool.slice(0, 96).join('\n')}\n`);
await writeFile(join(folder, 'validation.jsonl'), `${pool.slice(96, 112).join('\n')}\n`);

const command = (out, resume) => [
  join(ROOT, 'dist', 'cli', 'main.js'),
  ...['repair', '--model', values.model, '--data', join(folder, 'train.jsonl'), '--validation', join(folder, 'validation.jsonl')],
  ...['--method', values.method, '--kl', '1', '--normal', join(DEMO, 'normal.jsonl'), '--steps', values.steps],
  ...['--learning-rate', '1e-3', '--warmup-steps', '2', '--eval-every', '12', '--checkpoint-every', '2', '--quiet'],
  ...['--log', `${out}.jsonl`, '--tensorboard', `${out}.events`],
  ...(values.lora ? ['--lora', values.lora, '--adapter', `${out}.adapter`] : []),
  ...['--out', out, ...(resume ? ['--resume'] : [])],
];

/** Runs the command until it ends, or until `killAfterMs`. */
async function run(out, killAfterMs, signal) {
  const unfinished = existsSync(join(`${out}.state`, 'state.json'));
  const child = spawn(process.execPath, command(out, unfinished), { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (data) => {
    stderr += data;
  });
  const timer = killAfterMs === null ? null : setTimeout(() => child.kill(signal), killAfterMs);
  const [code, killed] = await new Promise((resolve) => child.on('close', (...ended) => resolve(ended)));
  clearTimeout(timer);
  const expected = code === 0 || code === 130 || killed === 'SIGKILL' || killed === 'SIGINT' || killed === 'SIGTERM';
  if (!expected) fail(`the command ended with ${code}: ${stderr}`);
  return code === 0;
}

async function outcome(out) {
  const weights = createHash('sha256')
    .update(await readFile(join(out, 'model.safetensors')))
    .digest('hex');
  const lines = (await readFile(`${out}.jsonl`, 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  const log = lines.map(({ seconds, tokensPerSecond, memoryBytes, ...rest }) => rest);
  const adapter = values.lora
    ? createHash('sha256')
        .update(await readFile(join(`${out}.adapter`, 'adapter_model.safetensors')))
        .digest('hex')
    : null;
  return JSON.stringify({ weights, adapter, log });
}

function fail(message) {
  process.stderr.write(`kill-resume: ${message}\nleft in ${folder}\n`);
  process.exit(1);
}

const start = performance.now();
const whole = join(folder, 'whole');
if (!(await run(whole, null))) fail('the uninterrupted run did not end');
const wallMs = performance.now() - start;
const wanted = await outcome(whole);

const kills = { SIGKILL: 0, SIGINT: 0, SIGTERM: 0 };
let total = 0;
let runs = 0;
const target = Number(values.kills);
while (total < target) {
  const out = join(folder, `run-${runs++}`);
  // every third moment early, while little is done, the others anywhere
  for (let begun = false; ; begun = true) {
    const last = total >= target;
    const signal = SIGNALS[total % SIGNALS.length];
    const done = await run(out, last ? null : random() * wallMs * (begun && total % 3 === 0 ? 0.4 : 1.05), signal);
    if (done) break;
    kills[signal]++;
    total++;
  }
  if ((await outcome(out)) !== wanted) fail(`after ${total} kills run ${runs} differs from the uninterrupted one`);
  for (const name of [out, `${out}.jsonl`, `${out}.events`, `${out}.adapter`]) await rm(name, { recursive: true, force: true });
}
await rm(folder, { recursive: true });
process.stdout.write(
  `${JSON.stringify({ kills, total, runs, identical: true, seconds: Math.round((performance.now() - start) / 1000) })}\n`,
);
