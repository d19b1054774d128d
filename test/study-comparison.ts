import { readFileSync } from 'node:fs';
import { withoutTimings } from '../src/study/without-timings.ts';

/** The lines of a results file, parsed, without what two equal runs may differ in. */
export function comparableResults(path: string): unknown[] {
  return readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => withoutTimings(JSON.parse(line)));
}
