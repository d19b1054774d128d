// `npm test`: builds what is missing, then runs both test runners and ends with their own closing lines.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
function run(command, args) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (result.status !== 0) {
    console.error(`npm test: ${[command, ...args].join(' ')} ended with ${result.status ?? result.signal ?? result.error?.message}`);
    process.exit(1);
  }
}

if (!existsSync(join(root, 'node_modules', 'vitest'))) run('npm', ['install']);
run(process.execPath, ['scripts/prepare.mjs']);
run(process.execPath, ['scripts/build-tests.mjs']);
// compiling the CUDA plugin for every compute capability takes longer than all else here, so that it is a step of its own
console.log('npm test: the CUDA plugin is not built here; its kernels run in CTest on an emulation. With nvcc: npm run check:cuda');
run('ctest', ['--test-dir', join(root, 'build', 'tests'), '--output-on-failure']);
run(process.execPath, [join(root, 'node_modules', 'vitest', 'vitest.mjs'), 'run']);
