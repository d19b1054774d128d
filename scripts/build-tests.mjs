// Configures and builds the native tests (CTest, no Node inside) in build/tests.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const build = join(root, 'build', 'tests');
for (const args of [
  ['-S', root, '-B', build, '-DMENDSET_TESTS=ON', '-DCMAKE_BUILD_TYPE=Release'],
  ['--build', build, '--parallel', '2'],
]) {
  const result = spawnSync('cmake', args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (result.status !== 0) process.exit(result.status ?? 1);
}
