import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MendsetError } from '../core/errors.ts';
import type { NativeBinding } from './binding.ts';
import type { NativeSelection } from './binding-select.ts';

let loaded: (NativeBinding & NativeSelection) | undefined;

/**
 * The native engine, loaded at first use: `MENDSET_ADDON` (an absolute path), else build/Release of a source checkout, else
 * prebuilds/. Throws `unsupported` with everything that was tried.
 */
export function addon(): NativeBinding & NativeSelection {
  loaded ??= load();
  return loaded;
}

function load(): NativeBinding & NativeSelection {
  const require = createRequire(import.meta.url);
  const override = process.env['MENDSET_ADDON'];
  const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
  try {
    if (override) return require(override) as NativeBinding & NativeSelection;
    const gypBuild = require('node-gyp-build') as (directory: string) => NativeBinding & NativeSelection;
    return gypBuild(root);
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new MendsetError(
      'unsupported',
      `Expected the native engine ${override ? `at MENDSET_ADDON=${override}` : `in ${join(root, 'build', 'Release')} or ${join(root, 'prebuilds')} for ${process.platform}-${process.arch}`} but it could not be loaded (${reason}). Build it with \`npm run build\` in the mendset folder; it needs CMake and a C++20 compiler.`,
      { cause: error },
    );
  }
}
