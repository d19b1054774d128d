// `npm run build:cuda`: builds build/cuda/libmendset_cuda.so when it is missing or older than its sources, with its tests.
//   --arch 90-real   one architecture (default: MENDSET_CUDA_ARCHITECTURES, else sm_75, sm_80, sm_90 and PTX)
//   --tests          the contract of backends for a device too
//   --package        puts the library and its notice into packages/cuda-linux-x64
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { findNvcc, NO_NVCC } from './find-nvcc.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const build = join(root, 'build', 'cuda');
const library = join(build, 'libmendset_cuda.so');
const EVERY = '75-real;80-real;90-real;90-virtual';
const { values } = parseArgs({
  options: {
    arch: { type: 'string', default: process.env.MENDSET_CUDA_ARCHITECTURES || EVERY },
    tests: { type: 'boolean', default: false },
    package: { type: 'boolean', default: false },
    jobs: { type: 'string', default: '2' },
  },
});

const nvcc = findNvcc();
if (nvcc === null || Number.parseInt(nvcc.version, 10) < 12) {
  console.error(`mendset: ${nvcc === null ? NO_NVCC : `Expected nvcc 12 or later but found ${nvcc.version} at ${nvcc.path}.`}`);
  process.exit(1);
}

function filesBelow(path) {
  if (statSync(path).isFile()) return [path];
  return readdirSync(path)
    .sort()
    .flatMap((name) => filesBelow(join(path, name)));
}
const hash = createHash('sha256').update(`${nvcc.version} ${values.arch}`);
for (const file of ['native/cuda', 'native/include', 'native/sources.json', 'CMakeLists.txt'].flatMap((name) =>
  filesBelow(join(root, name)),
)) {
  hash.update(relative(root, file)).update('\0').update(readFileSync(file)).update('\0');
}
const wanted = hash.digest('hex');
const stamp = join(build, 'library.stamp');
const current = existsSync(library) && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted;

function run(args) {
  const result = spawnSync('cmake', args, { cwd: root, stdio: ['ignore', 2, 2], env: { ...process.env, CUDACXX: nvcc.path } });
  if (result.status === 0) return;
  console.error(
    `mendset: cmake ${args.join(' ')} failed${result.error ? ` (${result.error.message})` : ''}; the compiler output above says why.`,
  );
  process.exit(1);
}
if (!current || values.tests) {
  console.error(`mendset: building the CUDA plugin with nvcc ${nvcc.version} for ${values.arch}; this takes minutes`);
  run(['-S', root, '-B', build, '-DMENDSET_CUDA=ON', '-DMENDSET_TESTS=ON', `-DMENDSET_CUDA_ARCHITECTURES=${values.arch}`]);
  const targets = ['mendset_cuda', 'cuda_plugin_test'];
  if (values.tests)
    targets.push(...['linear', 'gated', 'attention', 'loss', 'rows', 'selection'].map((part) => `contract_${part}_cuda_test`));
  run(['--build', build, '--parallel', values.jobs, '--target', ...targets]);
  writeFileSync(stamp, wanted);
}
if (values.package) {
  if (values.arch !== EVERY) {
    console.error('mendset: the package holds every architecture; leave --arch out.');
    process.exit(1);
  }
  copyFileSync(library, join(root, 'packages', 'cuda-linux-x64', 'libmendset_cuda.so'));
  console.error('mendset: packages/cuda-linux-x64 holds the library');
}
console.log(library);
