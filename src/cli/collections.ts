import { PerformanceObserver } from 'node:perf_hooks';

/** What a run allocated as Node sees it; the engine counts its own buffers. */
export interface Collections {
  readonly garbageCollections: number;
  readonly garbageCollectionSeconds: number;
  /** JavaScript heap after the run, less before */
  readonly heapGrowthBytes: number;
}

/** Watches garbage collections until `end` is called. */
export function watchCollections(): { end(): Promise<Collections> } {
  let count = 0;
  let milliseconds = 0;
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      count++;
      milliseconds += entry.duration;
    }
  });
  observer.observe({ entryTypes: ['gc'] });
  const before = process.memoryUsage().heapUsed;
  return {
    async end() {
      // entries are handed over after the current turn
      await new Promise((resolve) => setImmediate(resolve));
      observer.disconnect();
      return {
        garbageCollections: count,
        garbageCollectionSeconds: milliseconds / 1000,
        heapGrowthBytes: process.memoryUsage().heapUsed - before,
      };
    },
  };
}
