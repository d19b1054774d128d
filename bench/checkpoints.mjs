// npm run bench -- checkpoints [--shapes gpt2-xl,gpt-neo-1.3b,pythia-2.8b] [--dtype F32|BF16] [--weights stored] [--folder DIR] [--rounds 3] [--out FILE.json]
// Checkpoints of the published shapes with random weights: time and memory of loading, scoring a batch, one IRepair + KL step through the
// program and saving, beside the time that reading the files takes and the memory that `--dry-run` says. Every piece is a process of its own.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism, freemem, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { engineInfo } from '../dist/index.js';
import { SHAPES } from './checkpoint-shapes.mjs';
import { machine, median, root } from './machine.mjs';
import { readOptions } from './options.mjs';
import { measureOnce } from './rounds.mjs';

const GIB = 2 ** 30;

const values = readOptions('checkpoints', process.argv.slice(2));
const { shapes, rounds } = values;

const base = values.folder ?? mkdtempSync(join(tmpdir(), 'mendset-checkpoints-'));
if (values.folder === undefined) process.on('exit', () => rmSync(base, { recursive: true, force: true }));
mkdirSync(base, { recursive: true });

const demo = join(root, 'assets', 'demo');
const cli = join(root, 'dist', 'cli', 'main.js');
const part = (...args) => measureOnce(process.execPath, [join(root, 'bench', 'measure-checkpoint.mjs'), ...args]);

/** The program in a process that says at its end what it held; its result as JSON. */
function program(...args) {
  const peakFile = join(base, 'peak');
  const hook = `import{writeFileSync}from'node:fs';process.on('exit',()=>writeFileSync(${JSON.stringify(peakFile)},String(process.resourceUsage().maxRSS*1024)))`;
  const begin = performance.now();
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', `data:text/javascript,${encodeURIComponent(hook)}`, cli, ...args, '--json', '--quiet'],
    { encoding: 'utf8', maxBuffer: 1 << 28 },
  );
  if (status !== 0) throw new Error(stderr.trim().split('\n').at(-1) || `mendset ${args[0]} ended with ${status}`);
  return { seconds: (performance.now() - begin) / 1000, peakBytes: Number(readFileSync(peakFile, 'utf8')), result: JSON.parse(stdout) };
}

function make(name) {
  const directory = join(base, `${name}-${values.dtype}`);
  if (existsSync(join(directory, 'config.json'))) return { directory, made: null };
  const tokenizer = join(demo, 'model');
  const eos = JSON.parse(readFileSync(join(tokenizer, 'config.json'), 'utf8')).eos_token_id;
  const config = { ...SHAPES[name], eos_token_id: eos, bos_token_id: eos };
  const made = part('make', '--config', JSON.stringify(config), '--dtype', values.dtype, '--folder', directory);
  if (made.failed) throw new Error(made.failed);
  for (const file of readdirSync(tokenizer))
    if (/token|vocab|merges/.test(file)) copyFileSync(join(tokenizer, file), join(directory, file));
  return { directory, made };
}

/** Every normal text that is held back costs a pass of the original model: a few do here. */
const normal = join(base, 'normal.jsonl');
writeFileSync(normal, readFileSync(join(demo, 'normal.jsonl'), 'utf8').split('\n').slice(0, 16).join('\n'));

const weightBytes = (directory) =>
  readdirSync(directory)
    .filter((file) => file.endsWith('.safetensors'))
    .reduce((sum, file) => sum + statSync(join(directory, file)).size, 0);
const gib = (bytes) => (bytes / GIB).toFixed(2);

const rows = [];
for (const name of shapes) {
  console.error(`${name}: writing the checkpoint`);
  const { directory, made } = make(name);
  const uses = [];
  for (let round = 0; round < rounds; round++) {
    console.error(`${name}: loading and scoring, ${round + 1} of ${rounds}`);
    const use = part('use', '--folder', directory, '--weights', values.weights);
    if (use.failed) throw new Error(use.failed);
    uses.push(use);
  }
  console.error(`${name}: one step of IRepair with KL, and saving`);
  const repaired = join(base, `${name}-repaired`);
  rmSync(repaired, { recursive: true, force: true });
  const repairArguments = ['repair', '--model', directory, '--data', join(demo, 'pool.jsonl'), '--method', 'irepair', '--kl', '1'];
  repairArguments.push('--normal', normal, '--steps', '1', '--validation', '4', '--weights', values.weights);
  const planned = program(...repairArguments, '--dry-run');
  const fits = planned.result.memory.peak + GIB / 2 < freemem();
  const repair = fits ? program(...repairArguments, '--out', repaired) : null;
  const saved = fits ? weightBytes(repaired) : null;
  rmSync(repaired, { recursive: true, force: true });
  const of = (key) => median(uses.map((use) => use[key]));
  rows.push({
    shape: name,
    dtype: values.dtype,
    weights: values.weights,
    parameters: uses[0].parameters,
    fileBytes: weightBytes(directory),
    savedBytes: saved,
    made,
    readSeconds: of('readSeconds'),
    loadSeconds: of('loadSeconds'),
    loadPeakBytes: Math.max(...uses.map((use) => use.loadPeakBytes)),
    weightsBytes: uses[0].weightsBytes,
    scoreSeconds: of('scoreSeconds'),
    scoreTokens: uses[0].scoreTokens,
    scoreForecastBytes: uses[0].scoreForecastBytes,
    scorePeakBytes: Math.max(...uses.map((use) => use.scorePeakBytes)),
    nodeBytes: uses[0].nodeBytes,
    repairForecastBytes: planned.result.memory.peak,
    freeBytes: freemem(),
    repairPeakBytes: repair?.peakBytes ?? null,
    repairSeconds: repair?.seconds ?? null,
    repairTokens: planned.result.tokens,
  });
  const r = rows.at(-1);
  console.log(
    [
      `${name} ${values.dtype}, held as ${values.weights}: ${(r.parameters / 1e9).toFixed(2)} G parameters, ${gib(r.fileBytes)} GiB of files`,
      `  reading ${r.readSeconds.toFixed(1)} s, loading ${r.loadSeconds.toFixed(1)} s, peak ${gib(r.loadPeakBytes)} GiB`,
      `  scoring ${r.scoreTokens} tokens ${r.scoreSeconds.toFixed(2)} s, forecast ${gib(r.scoreForecastBytes)} GiB, process ${gib(r.scorePeakBytes)} GiB`,
      repair
        ? `  IRepair + KL step, ${r.repairTokens} tokens, and saving ${repair.seconds.toFixed(1)} s, dry run ${gib(r.repairForecastBytes)} GiB, process ${gib(repair.peakBytes)} GiB`
        : `  IRepair + KL step: not run, the dry run says ${gib(r.repairForecastBytes)} GiB and ${gib(r.freeBytes)} GiB are free`,
    ].join('\n'),
  );
}
const engine = engineInfo();
const result = { ...machine(engine), threads: engine.threads ?? availableParallelism(), totalMemory: totalmem(), rounds, rows };
if (values.out !== undefined) writeFileSync(values.out, `${JSON.stringify(result, null, 2)}\n`);
