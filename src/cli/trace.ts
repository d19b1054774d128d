import type { ProgressEvent } from '../core/run-options.ts';
import type { OperationRecord, OperationTotals } from '../native/operation-profile.ts';

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
  /** Wall clock */
  readonly seconds: number;
  /** Of these, inside operations of a model */
  readonly engineSeconds: number;
  readonly flops: number;
  readonly bytes: number;
  /** Largest resident set of the process when the phase last ended */
  readonly peakMemoryBytes: number;
}

const LANES = { phases: 0, steps: 1, operations: 2 } as const;
const NOTHING: OperationTotals = { calls: 0, seconds: 0, flops: 0, bytes: 0, allocations: 0, allocatedBytes: 0 };

/**
 * Turns progress into spans and writes them as Chrome trace events. Progress is told after a piece of work, so what happened since
 * the last event, time and operations, belongs to the phase of the next one.
 */
export class Trace {
  readonly #start = performance.now();
  readonly #totals: (() => OperationTotals) | null;
  readonly #events: TraceEvent[] = [];
  readonly #phases = new Map<string, TracedPhase>();
  #open: { name: string; from: number; to: number } | null = null;
  #last = 0;
  #counted = NOTHING;
  #lastStep = 0;
  #ownMs = 0;

  /** `totals` tells what the engine's operations did so far. */
  constructor(totals: (() => OperationTotals) | null = null) {
    this.#totals = totals;
  }

  progress(event: ProgressEvent): void {
    if (event.done === 0 && event.total > 0) return; // announces work, and what came before belongs to nobody yet
    this.mark(event.phase);
  }

  /** What happened since the last mark was `phase`. */
  mark(phase: string): void {
    const now = this.#now();
    if (this.#open?.name !== phase) {
      this.#close();
      this.#open = { name: phase, from: this.#last, to: now };
    }
    this.#open.to = now;
    this.#count(phase, now);
    this.#last = now;
    this.#ownMs += (this.#now() - now) / 1000;
  }

  /** Seconds that recording itself took, measured in every call. */
  get ownSeconds(): number {
    return this.#ownMs / 1000;
  }

  /** A span that ends now and began where the last one of its lane or the last mark ended. */
  step(name: string, args: Readonly<Record<string, unknown>>): void {
    const now = this.#now();
    const from = Math.max(this.#lastStep, this.#last);
    this.#events.push({ name, ph: 'X', ts: from, dur: now - from, pid: 0, tid: LANES.steps, args });
    this.#lastStep = now;
    this.#ownMs += (this.#now() - now) / 1000;
  }

  /** Ends the recording; what came after the last mark is `rest`. */
  finish(rest: string): TracedPhase[] {
    this.mark(rest);
    this.#close();
    return [...this.#phases.values()];
  }

  /** Adds the engine's operations; `startedMs` is when their recording began, by `performance.now()`. */
  operations(record: OperationRecord, startedMs: number): void {
    const { spanTimes, spanPlaces, operations } = record;
    const offset = (startedMs - this.#start) * 1000;
    for (let i = 0; i < spanTimes.length; i += 2) {
      const block = spanPlaces[i + 1] as number;
      this.#events.push({
        name: operations[spanPlaces[i] as number]?.name ?? 'operation',
        ph: 'X',
        ts: offset + 1e6 * (spanTimes[i] as number),
        dur: 1e6 * (spanTimes[i + 1] as number),
        pid: 0,
        tid: LANES.operations,
        ...(block < 0 ? {} : { args: { block } }),
      });
    }
  }

  json(): string {
    const names = Object.entries(LANES).map(
      ([name, tid]): TraceEvent => ({ name: 'thread_name', ph: 'M', ts: 0, pid: 0, tid, args: { name } }),
    );
    const process: TraceEvent = { name: 'process_name', ph: 'M', ts: 0, pid: 0, tid: 0, args: { name: 'mendset' } };
    const events = [process, ...names, ...this.#events.sort((a, b) => a.ts - b.ts)];
    return `{"displayTimeUnit":"ms","traceEvents":[\n${events.map((event) => JSON.stringify(event)).join(',\n')}\n]}\n`;
  }

  #close(): void {
    if (!this.#open) return;
    const { name, from, to } = this.#open;
    this.#events.push({ name, ph: 'X', ts: from, dur: to - from, pid: 0, tid: LANES.phases });
    this.#open = null;
  }

  #count(phase: string, now: number): void {
    // rss() alone: memoryUsage() walks the heap's statistics too
    this.#events.push({ name: 'memory', ph: 'C', ts: now, pid: 0, tid: 0, args: { rss: process.memoryUsage.rss() } });
    const totals = this.#totals?.() ?? NOTHING;
    const before = this.#phases.get(phase);
    this.#phases.set(phase, {
      phase,
      seconds: (before?.seconds ?? 0) + (now - this.#last) / 1e6,
      engineSeconds: (before?.engineSeconds ?? 0) + totals.seconds - this.#counted.seconds,
      flops: (before?.flops ?? 0) + totals.flops - this.#counted.flops,
      bytes: (before?.bytes ?? 0) + totals.bytes - this.#counted.bytes,
      peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
    });
    this.#counted = totals;
  }

  #now(): number {
    return (performance.now() - this.#start) * 1000;
  }
}
