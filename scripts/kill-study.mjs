// Kills a study at random moments, continues it, and compares its results with those of a run that was never interrupted:
//
//     node scripts/kill-study.mjs examples/rq4.yaml [--kills 20] [--seed 1] [--keep FOLDER]
//
// Needs the built command (dist). Three SIGKILL for each SIGTERM. Prints one JSON line; exits with 1 at the first difference.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { withoutTimings } from '../dist/study/without-timings.js';

const MAIN = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kills: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    keep: { type: 'string' },
  },
});
const [study] = positionals;
if (study === undefined) fail('Expected a study file, for example: node scripts/kill-study.mjs examples/rq4.yaml');
const folder = values.keep ?? (await mkdtemp(join(tmpdir(), 'mendset-kill-study-')));

/** Park-Miller: the moments of a seed are the same on every machine, though not what they hit. */
let state = Number(values.seed);
function random() {
  state = (state * 48271) % 2147483647;
  return state / 2147483647;
}

function start(out) {
  const child = spawn(process.execPath, [MAIN, 'study', study, '--out', out, '--quiet', '--json'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data) => {
    stdout += data;
  });
  child.stderr.on('data', (data) => {
    stderr += data;
  });
  return { child, ended: once(child, 'close').then(([code, signal]) => ({ code, signal, stdout, stderr })) };
}

async function lines(out) {
  const text = await readFile(join(out, 'results.jsonl'), 'utf8').catch(() => '');
  return text.trimEnd().split('\n').filter(Boolean);
}

function fail(message) {
  process.stderr.write(`kill-study: ${message}\n`);
  process.exit(1);
}

async function finish(out) {
  const { code, stdout, stderr } = await start(out).ended;
  if (code !== 0) fail(`the study ended with ${code}: ${stderr}`);
  return JSON.parse(stdout);
}

const whole = join(folder, 'whole');
const killed = join(folder, 'killed');
const started = performance.now();
const { cells } = await finish(whole);
const wholeMs = performance.now() - started;
const target = Number(values.kills);

let kills = 0;
let finished = 0;
while (kills < target) {
  const { child, ended } = start(killed);
  // twice the average piece of what one uninterrupted run takes, so that the study is about done after the last kill
  await Promise.race([setTimeout(150 + (random() * 2 * wholeMs) / target), ended]);
  child.kill(kills % 4 === 3 ? 'SIGTERM' : 'SIGKILL');
  const { code, signal, stderr } = await ended;
  if (code === 0) {
    // done before its time: once more from the beginning
    await rm(killed, { recursive: true, force: true });
    finished = 0;
    continue;
  }
  if (signal !== 'SIGKILL' && signal !== 'SIGTERM' && code !== 130) fail(`the study ended with ${code}: ${stderr}`);
  kills++;
  // the last line may have been cut; the next run drops it
  const held = (await lines(killed)).filter((line) => line.endsWith('}')).length;
  if (held < finished) fail(`${finished} cells were finished and after kill ${kills} there are ${held}`);
  finished = held;
}
await finish(killed);
const wanted = (await lines(whole)).map((line) => JSON.stringify(withoutTimings(JSON.parse(line))));
const got = (await lines(killed)).map((line) => JSON.stringify(withoutTimings(JSON.parse(line))));
if (got.length !== wanted.length) fail(`${wanted.length} cells undisturbed and ${got.length} killed; left in ${folder}`);
const different = wanted.findIndex((line, i) => line !== got[i]);
if (different >= 0) fail(`cell ${different + 1} differs; left in ${folder}`);
const before = await readFile(join(killed, 'results.jsonl'), 'utf8');
const again = await finish(killed);
if (again.computed !== 0 || (await readFile(join(killed, 'results.jsonl'), 'utf8')) !== before) fail('a second run computed something');
if (values.keep === undefined) await rm(folder, { recursive: true });
process.stdout.write(
  `${JSON.stringify({ study, cells, kills, heldAtTheLastKill: finished, identical: true, wholeSeconds: Math.round(wholeMs / 1000), seconds: Math.round((performance.now() - started) / 1000) })}\n`,
);
