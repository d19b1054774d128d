/** Fields of a result that depend on the clock, the machine, or on which cell was computed first. */
const TIMINGS: ReadonlySet<string> = new Set([
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

/** A line of results.jsonl without what two equal runs may differ in. */
export function withoutTimings(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutTimings);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !TIMINGS.has(key))
      .map(([key, v]) => [key, withoutTimings(v)]),
  );
}
