// npm run bench -- PART [options]: runs one of the benchmarks that options.mjs lists. Nothing is measured before all options are right.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './machine.mjs';
import { BENCHMARKS, readOptions, refuse } from './options.mjs';

const [part, ...rest] = process.argv.slice(2);
const names = Object.keys(BENCHMARKS);
if (part === '--help' || part === '-h') {
  const lines = names.map((name) => `  ${name.padEnd(12)} ${BENCHMARKS[name].words}`);
  console.log(['npm run bench -- BENCHMARK [options]', ...lines, '', 'npm run bench -- BENCHMARK --help tells its options.'].join('\n'));
  process.exit(0);
}
if (!Object.hasOwn(BENCHMARKS, part ?? ''))
  refuse(
    `Expected ${names.slice(0, -1).join(', ')} or ${names.at(-1)} after "npm run bench --" but received ${part === undefined ? 'nothing' : `"${part}"`}: see --help.`,
  );
readOptions(part, rest);
if (part !== 'readme' && !existsSync(join(root, 'dist', 'index.js')))
  refuse('Expected the built package in dist/ but there is none: run npm run build first.');
process.exit(spawnSync(process.execPath, [join(root, 'bench', BENCHMARKS[part].file), ...rest], { stdio: 'inherit' }).status ?? 1);
