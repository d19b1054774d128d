import { readFileSync } from 'node:fs';

/** Fields that depend on the clock, the machine, or on which cell was computed first. */
const TIMINGS = new Set([
  'seconds',
  'phases',
  'costSeconds',
  'evaluationSeconds',
  'peakMemoryBytes',
  'machine',
  'finishedAt',
  'res',
  'reused',
]);

function withoutTimings(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutTimings);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !TIMINGS.has(key))
      .map(([key, v]) => [key, withoutTimings(v)]),
  );
}

/** The lines of a results file, parsed, without what two equal runs may differ in. */
export function comparableResults(path: string): unknown[] {
  return readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => withoutTimings(JSON.parse(line)));
}
