// Builds what is missing or stale: the addon (cmake-js) and the TypeScript output. Runs on `npm install` in a clone; in a package
// installed from the registry only when its user asks for it (`--native`, with cmake-js and node-addon-api beside it). Downloads nothing.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
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

/** Folder of a package: in our own node_modules, or in those of the project that installed us; null without it. */
function folderOf(module) {
  for (let folder = root; ; folder = dirname(folder)) {
    const candidate = join(folder, 'node_modules', module);
    if (existsSync(join(candidate, 'package.json'))) return candidate;
    if (dirname(folder) === folder) return null;
  }
}

/** A package's command, a script for this Node. */
function commandOf(module, name) {
  const folder = folderOf(module);
  const { bin } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return join(folder, typeof bin === 'string' ? bin : bin[name]);
}

function run(title, script, args, hint) {
  console.error(`mendset: ${title}`);
  const result = spawnSync(process.execPath, [script, ...args], { cwd: root, stdio: ['ignore', 2, 2] });
  if (result.status !== 0) {
    console.error(`mendset: ${title} failed${result.error ? ` (${result.error.message})` : ''}. ${hint}`);
    process.exit(1);
  }
}

if (wants('native')) {
  const output = join(root, 'build', 'Release', 'mendset.node');
  const stamp = join(root, 'build', 'Release', 'mendset.stamp');
  const wanted = digest(
    ['native', 'CMakeLists.txt'],
    `${process.platform} ${process.arch} ${process.env.CXX ?? ''} ${process.env.CXXFLAGS ?? ''}`,
  );
  if (!upToDate(stamp, output, wanted)) {
    if (!folderOf('cmake-js') || !folderOf('node-addon-api')) {
      console.error(
        'mendset: cmake-js or node-addon-api is absent, so the native engine is not built. Install them (in a clone: `npm install` with dev dependencies) to build it.',
      );
      // asked for by name it is a failure; an install without dev dependencies goes on
      process.exit(only.has('--native') ? 1 : 0);
    }
    if (spawnSync('cmake', ['--version'], { stdio: 'ignore' }).status !== 0) {
      console.error(
        'mendset: building the native engine needs CMake >= 3.20 and a C++20 compiler on the PATH. Install them (Debian: apt install cmake g++) and run `npm run build`.',
      );
      process.exit(1);
    }
    run(
      'building the native engine',
      commandOf('cmake-js', 'cmake-js'),
      ['compile', '--CDMENDSET_ADDON=ON', '--parallel', '2'],
      'The compiler output above says why; C++20 is needed (GCC >= 11, Clang >= 14).',
    );
    writeFileSync(stamp, wanted);
  }
}

// the package comes with dist/ and without src/
if (wants('ts') && existsSync(join(root, 'src'))) {
  const output = join(root, 'dist', 'index.js');
  const stamp = join(root, 'dist', 'build.stamp');
  const wanted = digest(['src', 'tsconfig.json', 'tsconfig.build.json'], '');
  if (!upToDate(stamp, output, wanted)) {
    if (!folderOf('typescript')) {
      console.error('mendset: TypeScript is absent, so dist/ is not built. Run `npm install` (with dev dependencies) to build it.');
      process.exit(0);
    }
    rmSync(join(root, 'dist'), { recursive: true, force: true });
    run('compiling TypeScript', commandOf('typescript', 'tsc'), ['-p', 'tsconfig.build.json'], 'The messages above name file and line.');
    mkdirSync(join(root, 'dist'), { recursive: true });
    writeFileSync(stamp, wanted);
  }
}
