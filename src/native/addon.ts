import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MendsetError } from '../core/errors.ts';
import type { NativeBinding } from './binding.ts';
import type { NativeEncoding } from './binding-encoder.ts';
import type { NativeSelection } from './binding-select.ts';

/** Everything the addon exports. */
type Addon = NativeBinding & NativeEncoding & NativeSelection;

let loaded: Addon | undefined;

/** Most threads of one model or selection; the engine refuses more. */
export const MOST_THREADS = 1024;

/**
 * The native engine, loaded at first use: `MENDSET_ADDON` (an absolute path), else build/Release of a source checkout, else
 * prebuilds/ (alone with `PREBUILDS_ONLY=1`). Throws `unsupported` with everything that was tried and how to get one, and
 * `invalid-argument` for a MENDSET_THREADS that is no number of threads.
 */
export function addon(): Addon {
  loaded ??= load();
  return loaded;
}

function load(): Addon {
  checkThreads(process.env['MENDSET_THREADS']);
  const require = createRequire(import.meta.url);
  const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
  const override = process.env['MENDSET_ADDON'];
  try {
    if (override) return require(override) as Addon;
    const gypBuild = require('node-gyp-build') as (directory: string) => Addon;
    return gypBuild(root);
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] as string) : String(error);
    throw new MendsetError('unsupported', override ? overrideProblem(override, reason) : absentProblem(root, reason), { cause: error });
  }
}

/** The engine would quietly take all cores instead. */
function checkThreads(text: string | undefined): void {
  if (text === undefined || text === '') return;
  const threads = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (threads >= 1 && threads <= MOST_THREADS) return;
  throw new MendsetError(
    'invalid-argument',
    `Expected MENDSET_THREADS to be a whole number between 1 and ${MOST_THREADS} but received "${text}"; unset it to use all cores.`,
  );
}

function overrideProblem(path: string, reason: string): string {
  return `Expected the native engine at MENDSET_ADDON=${path} but it could not be loaded (${reason}); name the absolute path of a mendset.node, or unset it.`;
}

/** A source checkout builds with its own dependencies; an installed package has to be given the build tools first. */
function absentProblem(root: string, reason: string): string {
  const places = `${join(root, 'build', 'Release')} or ${join(root, 'prebuilds')}`;
  const build = existsSync(join(root, 'src'))
    ? `\`npm run build\` in ${root}`
    : '`npm install --no-save cmake-js node-addon-api && npm explore mendset -- node scripts/prepare.mjs --native`';
  const cause = process.execArgv.includes('--no-addons') ? ' Node was started with --no-addons, which forbids it.' : '';
  return `Expected the native engine for ${process.platform}-${process.arch} in ${places} but none could be loaded (${reason}).${cause} Build it with ${build}; that needs CMake >= 3.20 and a C++20 compiler.`;
}
