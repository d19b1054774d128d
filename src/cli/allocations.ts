import { PerformanceObserver } from 'node:perf_hooks';

/** What a run allocated outside the engine's planned buffers, as Node sees it. */
export interface Allocations {
  readonly garbageCollections: number;
  readonly garbageCollectionSeconds: number;
  /** JavaScript heap after the run, less before */
  readonly heapGrowthBytes: number;
  /** Typed arrays and native memory that Node knows of: at most, while the run was watched */
  readonly peakExternalBytes: number;
}

/** Watches allocations until `end` is called. */
export function watchAllocations(): { sample(): void; end(): Promise<Allocations> } {
  let count = 0;
  let milliseconds = 0;
  let peak = 0;
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      count++;
      milliseconds += entry.duration;
    }
  });
  observer.observe({ entryTypes: ['gc'] });
  const before = process.memoryUsage().heapUsed;
  const sample = () => {
    peak = Math.max(peak, process.memoryUsage().external);
  };
  return {
    sample,
    async end() {
      sample();
      // entries are handed over after the current turn
      await new Promise((resolve) => setImmediate(resolve));
      observer.disconnect();
      return {
        garbageCollections: count,
        garbageCollectionSeconds: milliseconds / 1000,
        heapGrowthBytes: process.memoryUsage().heapUsed - before,
        peakExternalBytes: peak,
      };
    },
  };
}
