// Builds what is missing or stale: the addon (cmake-js) and the TypeScript output. Runs on `npm install` in a clone; never in a
// package installed from the registry. Downloads nothing.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const require = createRequire(import.meta.url);
const only = new Set(process.argv.slice(2));
const wants = (part) => only.size === 0 || only.has(`--${part}`);

function filesBelow(path) {
  if (!existsSync(path)) return [];
  if (statSync(path).isFile()) return [path];
  return readdirSync(path)
    .sort()
    .flatMap((name) => filesBelow(join(path, name)));
}

/** A digest of names and contents: the stamp beside an output says which inputs it was made from. */
function digest(inputs, extra) {
  const hash = createHash('sha256').update(extra);
  for (const file of inputs.flatMap((input) => filesBelow(join(root, input)))) {
    hash.update(relative(root, file)).update('\0').update(readFileSync(file)).update('\0');
  }
  return hash.digest('hex');
}

function upToDate(stamp, output, wanted) {
  return existsSync(output) && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted;
}

function has(module) {
  try {
    require.resolve(`${module}/package.json`);
    return true;
  } catch {
    return existsSync(join(root, 'node_modules', module, 'package.json'));
  }
}

function run(title, command, args, hint) {
  console.error(`mendset: ${title}`);
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' });
  if (result.status !== 0) {
    console.error(`mendset: ${title} failed${result.error ? ` (${result.error.message})` : ''}. ${hint}`);
    process.exit(1);
  }
}

const bin = (name) => join(root, 'node_modules', '.bin', name);

if (wants('native')) {
  const output = join(root, 'build', 'Release', 'mendset.node');
  const stamp = join(root, 'build', 'Release', 'mendset.stamp');
  const wanted = digest(
    ['native', 'CMakeLists.txt'],
    `${process.platform} ${process.arch} ${process.env.CXX ?? ''} ${process.env.CXXFLAGS ?? ''}`,
  );
  if (!upToDate(stamp, output, wanted)) {
    if (!has('cmake-js') || !has('node-addon-api')) {
      console.error(
        'mendset: the development dependencies are absent, so the native engine is not built. Run `npm install` (with dev dependencies) to build it.',
      );
      process.exit(0);
    }
    if (spawnSync('cmake', ['--version'], { stdio: 'ignore' }).status !== 0) {
      console.error(
        'mendset: building the native engine needs CMake >= 3.20 and a C++20 compiler on the PATH. Install them (Debian: apt install cmake g++) and run `npm run build`.',
      );
      process.exit(1);
    }
    run(
      'building the native engine',
      bin('cmake-js'),
      ['compile', '--CDMENDSET_ADDON=ON', '--parallel', '2'],
      'The compiler output above says why; C++20 is needed (GCC >= 11, Clang >= 14).',
    );
    writeFileSync(stamp, wanted);
  }
}

if (wants('ts')) {
  const output = join(root, 'dist', 'index.js');
  const stamp = join(root, 'dist', 'build.stamp');
  const wanted = digest(['src', 'tsconfig.json', 'tsconfig.build.json'], '');
  if (!upToDate(stamp, output, wanted)) {
    if (!has('typescript')) {
      console.error('mendset: TypeScript is absent, so dist/ is not built. Run `npm install` (with dev dependencies) to build it.');
      process.exit(0);
    }
    rmSync(join(root, 'dist'), { recursive: true, force: true });
    run('compiling TypeScript', bin('tsc'), ['-p', 'tsconfig.build.json'], 'The messages above name file and line.');
    mkdirSync(join(root, 'dist'), { recursive: true });
    writeFileSync(stamp, wanted);
  }
}
