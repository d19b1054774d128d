// Judges the CUDA plugin without a device, once per build: it opens and says why it is unusable (CTest), every kernel stays within the registers,
// shared memory and spills of native/cuda/kernel-bounds.json, and tensor-core instructions stand where they are meant.
//   --update   writes the bounds anew from the build (after a change that was meant)
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findNvcc, NO_NVCC } from './find-nvcc.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const build = join(root, 'build', 'cuda');
const boundsFile = join(root, 'native', 'cuda', 'kernel-bounds.json');
const update = process.argv.includes('--update');

const nvcc = findNvcc();
if (nvcc === null) {
  console.log(`check-cuda: skipped. ${NO_NVCC}`);
  process.exit(0);
}
function run(command, args) {
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 30 });
  if (result.status === 0) return result.stdout;
  console.error(
    `check-cuda: ${command} ${args.join(' ')} failed:\n${result.stdout ?? ''}${result.stderr ?? ''}${result.error?.message ?? ''}`,
  );
  process.exit(1);
}
const library = run(process.execPath, ['scripts/build-cuda.mjs']).trim().split('\n').at(-1);
const digest = createHash('sha256')
  .update(readFileSync(library))
  .update(existsSync(boundsFile) ? readFileSync(boundsFile) : '')
  .digest('hex');
const stamp = join(build, 'check.stamp');
if (!update && existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) {
  console.log('check-cuda: this build was checked before');
  process.exit(0);
}
console.log(run(join(build, 'native', 'cuda', 'cuda_plugin_test'), [library]).trim());

/** cuobjdump reads the library's machine code; the toolkit has it, sometimes in a package of its own. */
function findCuobjdump() {
  const named = process.env.MENDSET_CUOBJDUMP;
  if (named) return named;
  const folders = [...(process.env.CUDA_HOME ? [join(process.env.CUDA_HOME, 'bin')] : []), ...(process.env.PATH ?? '').split(delimiter)];
  return folders.map((folder) => join(folder, 'cuobjdump')).find((file) => existsSync(file)) ?? null;
}
const cuobjdump = findCuobjdump();
if (cuobjdump === null) {
  console.log(
    'check-cuda: registers and instructions were not checked: cuobjdump is neither in CUDA_HOME/bin, on the PATH nor named by MENDSET_CUOBJDUMP.',
  );
  process.exit(0);
}

// "_ZN7mendset4cuda...13argmax_kernelE..." -> "argmax_kernel"; template arguments that name an arithmetic follow as "<bf16>"
const PRECISIONS = ['bf16', 'tf32', 'tf32x3', 'fp32'];
function kernelOf(symbol) {
  const end = symbol.indexOf('_kernel') + '_kernel'.length;
  const precision = /PrecisionE(\d)E/.exec(symbol);
  for (let length = '_kernel'.length + 1; length < end; length++) {
    const name = symbol.slice(end - length, end);
    // a mangled name is preceded by its length
    if (!/^[a-z]/.test(name) || !symbol.slice(0, end - length).endsWith(String(length))) continue;
    return precision ? `${name}<${PRECISIONS[Number(precision[1])]}>` : name;
  }
  return null;
}

const problems = [];
// products in fp32 ask for all 64 KiB of shared memory that a block of sm_75 can have
const takesAll = /^(product|gram|direct)_kernel<fp32>$|^(min_distance|each_distance|nearest_centre|nearest_rows|coverage_gains)_kernel$/;
const used = new Map();
let symbol = null;
let architecture = null;
for (const line of run(cuobjdump, ['--dump-resource-usage', library]).split('\n')) {
  architecture = /arch = (sm_\d+)/.exec(line)?.[1] ?? architecture;
  symbol = /Function (\S+):/.exec(line)?.[1] ?? symbol;
  const numbers = /REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)/.exec(line);
  const kernel = symbol === null ? null : kernelOf(symbol);
  if (!numbers || kernel === null) continue;
  const [registers, stackBytes, sharedBytes] = numbers.slice(1, 4).map(Number);
  if (architecture === 'sm_75' && sharedBytes > 0 && takesAll.test(kernel))
    problems.push(`${kernel} has ${sharedBytes} bytes of shared memory on sm_75 beside the 64 KiB that it is started with`);
  const most = used.get(kernel) ?? { registers: 0, stackBytes: 0, sharedBytes: 0 };
  used.set(kernel, {
    registers: Math.max(most.registers, registers),
    stackBytes: Math.max(most.stackBytes, stackBytes),
    sharedBytes: Math.max(most.sharedBytes, sharedBytes),
  });
}

if (update) {
  const sorted = Object.fromEntries([...used].sort(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(
    boundsFile,
    `${JSON.stringify(sorted, null, 2).replace(/\{\n\s+("registers[^}]*?)\n\s+\}/g, (_, body) => `{ ${body.replace(/\n\s+/g, ' ')} }`)}\n`,
  );
} else if (!existsSync(boundsFile)) {
  problems.push('native/cuda/kernel-bounds.json is absent: make it with --update and read it before it is committed');
} else {
  const bounds = JSON.parse(readFileSync(boundsFile, 'utf8'));
  for (const [kernel, numbers] of used) {
    const bound = bounds[kernel];
    if (bound === undefined) problems.push(`${kernel} has no bounds`);
    else {
      for (const [what, value] of Object.entries(numbers)) {
        // other minor versions of the compiler assign a few registers differently
        const most = what === 'registers' ? Math.min(255, bound[what] + 8) : bound[what] + (what === 'stackBytes' ? 16 : 0);
        if (value > most) problems.push(`${kernel} uses ${value} ${what}, its bound is ${most}`);
      }
    }
  }
  for (const kernel of Object.keys(bounds)) if (!used.has(kernel)) problems.push(`${kernel} has bounds but is not in the library`);
}

// where tensor cores are meant to work, and where they must not: chains of fused multiply-adds decide indices
const tensor = (kernel) => /<(bf16|tf32|tf32x3)>$/.test(kernel) && /^(product|gram|direct|nearest_filter)_kernel/.test(kernel);
const meant = (kernel) => tensor(kernel) || /^attention_.*tensor_kernel$/.test(kernel);
const instructions = new Map();
let kernel = null;
for (const line of run(cuobjdump, ['-sass', '-arch', 'sm_90', library]).split('\n')) {
  const header = /Function : (\S+)/.exec(line);
  if (header) kernel = kernelOf(header[1]);
  if (kernel === null) continue;
  const count = instructions.get(kernel) ?? { tensor: 0, fused: 0 };
  if (/\bH?G?MMA\.|\bHMMA\b/.test(line)) count.tensor++;
  if (/\bFFMA\b/.test(line)) count.fused++;
  instructions.set(kernel, count);
}
if (instructions.size === 0) console.log('check-cuda: the library holds no code for sm_90; instructions were not checked');
for (const [name, count] of instructions) {
  if (meant(name) && count.tensor === 0) problems.push(`${name} has no tensor-core instruction`);
  if (!meant(name) && count.tensor > 0)
    problems.push(`${name} has ${count.tensor} tensor-core instructions where chains of FFMA are meant`);
}
for (const problem of problems) console.error(`check-cuda: ${problem}`);
if (problems.length > 0) process.exit(1);
const tensorKernels = [...instructions].filter(([name]) => meant(name)).length;
console.log(
  `check-cuda: ${used.size} kernels within their bounds, tensor-core instructions in the ${tensorKernels} where they are meant and in no other`,
);
if (!update) writeFileSync(stamp, digest);
