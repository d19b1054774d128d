import type { ProgressEvent } from '../core/run-options.ts';

interface TraceEvent {
  readonly name: string;
  readonly ph: 'X' | 'C' | 'M';
  /** Microseconds */
  readonly ts: number;
  readonly dur?: number;
  readonly pid: number;
  readonly tid: number;
  readonly args?: Readonly<Record<string, unknown>>;
}

export interface TracedPhase {
  readonly phase: string;
  readonly seconds: number;
  readonly peakMemoryBytes: number;
}

/** Turns progress events into spans, one for each phase, and writes them as Chrome trace events. */
export class Trace {
  readonly #start = performance.now();
  readonly #events: TraceEvent[] = [];
  readonly #phases = new Map<string, { seconds: number; peak: number }>();
  #open: { name: string; at: number } | null = null;
  #lastStep = 0;
  #ownMs = 0;

  progress(event: ProgressEvent): void {
    const now = this.#now();
    if (this.#open?.name !== event.phase) {
      this.#close(now);
      this.#open = { name: event.phase, at: now };
    }
    this.#memory(now);
    this.#ownMs += (this.#now() - now) / 1000;
  }

  /** Seconds that recording itself took, measured in every call. */
  get ownSeconds(): number {
    return this.#ownMs / 1000;
  }

  /** A span that ends now and began where the last one of its lane ended, at the earliest with the open phase. */
  step(name: string, args: Readonly<Record<string, unknown>>): void {
    const now = this.#now();
    const from = Math.max(this.#lastStep, this.#open?.at ?? 0);
    this.#events.push({ name, ph: 'X', ts: from, dur: now - from, pid: 0, tid: 1, args });
    this.#lastStep = now;
    this.#ownMs += (this.#now() - now) / 1000;
  }

  finish(): TracedPhase[] {
    this.#close(this.#now());
    return [...this.#phases].map(([phase, { seconds, peak }]) => ({ phase, seconds, peakMemoryBytes: peak }));
  }

  json(): string {
    const names: TraceEvent[] = [
      { name: 'thread_name', ph: 'M', ts: 0, pid: 0, tid: 0, args: { name: 'phases' } },
      { name: 'thread_name', ph: 'M', ts: 0, pid: 0, tid: 1, args: { name: 'steps' } },
    ];
    return `${JSON.stringify({ traceEvents: [...names, ...this.#events], displayTimeUnit: 'ms' })}\n`;
  }

  #close(now: number): void {
    if (!this.#open) return;
    const { name, at } = this.#open;
    this.#events.push({ name, ph: 'X', ts: at, dur: now - at, pid: 0, tid: 0 });
    const before = this.#phases.get(name);
    this.#phases.set(name, { seconds: (before?.seconds ?? 0) + (now - at) / 1e6, peak: this.#memory(now) });
    this.#open = null;
  }

  #memory(now: number): number {
    // rss() alone: memoryUsage() walks the heap's statistics too
    this.#events.push({ name: 'memory', ph: 'C', ts: now, pid: 0, tid: 0, args: { rss: process.memoryUsage.rss() } });
    return process.resourceUsage().maxRSS * 1024;
  }

  #now(): number {
    return (performance.now() - this.#start) * 1000;
  }
}
