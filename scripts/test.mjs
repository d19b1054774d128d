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
// with nvcc: the CUDA plugin is built (once per change) and judged without a device; without it the step says so
run(process.execPath, ['scripts/check-cuda.mjs']);
run('ctest', ['--test-dir', join(root, 'build', 'tests'), '--output-on-failure']);
run(process.execPath, [join(root, 'node_modules', 'vitest', 'vitest.mjs'), 'run']);
