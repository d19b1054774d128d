import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { MendsetError } from './errors.ts';

/** The folder of the installed package: the nearest one above this module that holds a package.json. */
export function packageRoot(): string {
  const start = dirname(fileURLToPath(import.meta.url));
  for (let folder = start; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json'))) return folder;
    if (dirname(folder) === folder) {
      throw new MendsetError('not-found', `Expected a package.json above '${start}' but found none; install the package again.`);
    }
  }
}
