import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './machine.mjs';

/** The native benchmark of the model's operations: the given file, or the one that is built; undefined where there is none. */
export function operationBench(given) {
  if (given !== undefined) return given;
  const build = join(root, 'build');
  return (existsSync(build) ? readdirSync(build, { recursive: true }) : [])
    .map((name) => join(build, name))
    .find((name) => /model_operation_bench(\.exe)?$/.test(name));
}
