// The CUDA compiler: CUDA_HOME/bin/nvcc, else nvcc on the PATH; null without one.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

export function findNvcc() {
  const home = process.env.CUDA_HOME;
  const folders = home ? [join(home, 'bin')] : (process.env.PATH ?? '').split(delimiter);
  const path = folders.map((folder) => join(folder, 'nvcc')).find((file) => existsSync(file));
  if (path === undefined) return null;
  const result = spawnSync(path, ['--version'], { encoding: 'utf8' });
  const release = /release (\d+)\.(\d+)/.exec(result.stdout ?? '');
  return release === null ? null : { path, version: `${release[1]}.${release[2]}` };
}

/** The sentence for someone who has none. */
export const NO_NVCC =
  'Expected nvcc 12 or later in CUDA_HOME/bin or on the PATH but found none: install the CUDA toolkit, or set CUDA_HOME.';
