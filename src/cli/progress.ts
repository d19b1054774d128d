import type { ProgressEvent } from '../core/run-options.ts';
import type { CliIo } from './io.ts';

/** Milliseconds between redrawn bars on a terminal, and between plain lines elsewhere. */
const REDRAW_MS = 100;
const LINE_MS = 5000;

/** One kind of work that goes on: its lane is named by the prefix. */
interface Lane {
  phase: string;
  event: ProgressEvent;
  start: number;
  /** `done` when the phase began or came back: validation interrupts training, and only what was done since counts */
  from: number;
  lastLine: number;
}

/**
 * Shows progress with rate and time left on stderr: on a terminal one redrawn line for each thing that goes on, elsewhere a line
 * every few seconds.
 */
export class ProgressReporter {
  readonly #io: CliIo;
  readonly #quiet: boolean;
  readonly #jsonLog: boolean;
  readonly #now: () => number;
  readonly #lanes = new Map<string, Lane>();
  #lastDrawn: number;
  /** Lines on the terminal that are redrawn */
  #drawn = 0;

  constructor(io: CliIo, options: { quiet: boolean; jsonLog?: boolean; now?: () => number }) {
    this.#io = io;
    this.#quiet = options.quiet;
    this.#jsonLog = options.jsonLog ?? false;
    this.#now = options.now ?? (() => performance.now());
    this.#lastDrawn = this.#now();
  }

  /** `prefix` names what the phase belongs to, e.g. a cell of a study; several may go on at once. */
  update(event: ProgressEvent, prefix = ''): void {
    if (this.#quiet) return;
    const now = this.#now();
    const lane = this.#lanes.get(prefix);
    if (!lane)
      this.#lanes.set(prefix, {
        phase: event.phase,
        event,
        start: now,
        from: event.done,
        lastLine: this.#lanes.size === 0 ? this.#lastDrawn : now,
      });
    else {
      if (event.phase !== lane.phase || event.done < lane.event.done)
        Object.assign(lane, { phase: event.phase, start: now, from: event.done });
      lane.event = event;
    }
    if (this.#io.interactive && !this.#jsonLog) this.#draw(now);
    else this.#line(prefix, now);
  }

  /** Ends the lanes whose prefix contains `name`. */
  end(name: string): void {
    for (const prefix of this.#lanes.keys()) if (prefix.includes(name)) this.#lanes.delete(prefix);
  }

  /** Removes the redrawn lines, so that other text can be printed. */
  clear(): void {
    if (this.#drawn > 0) this.#io.stderr(`\r${'\u001b[2K\u001b[1A'.repeat(this.#drawn - 1)}\u001b[2K`);
    this.#drawn = 0;
  }

  /** A line for a person that stays; not shown when quiet. */
  log(line: string): void {
    if (!this.#quiet) this.notice(line);
  }

  /** A line that is shown even when quiet. */
  notice(line: string): void {
    this.clear();
    this.#io.stderr(this.#jsonLog ? `${JSON.stringify({ time: new Date().toISOString(), level: 'info', message: line })}\n` : `${line}\n`);
  }

  #draw(now: number): void {
    if (now - this.#lastDrawn < REDRAW_MS) return;
    this.#lastDrawn = now;
    const lines = [...this.#lanes].map(([prefix, lane]) => laneLine(prefix, lane, now, this.#io.columns - 1));
    this.clear();
    this.#io.stderr(`\r${lines.map((line) => `\u001b[2K${line}`).join('\n')}`);
    this.#drawn = lines.length;
  }

  #line(prefix: string, now: number): void {
    const lane = this.#lanes.get(prefix) as Lane;
    if (now - lane.lastLine < LINE_MS) return;
    lane.lastLine = now;
    if (!this.#jsonLog) {
      this.#io.stderr(`${laneLine(prefix, lane, now, 0)}\n`);
      return;
    }
    const { phase, done, total, detail } = lane.event;
    const seconds = (now - lane.start) / 1000;
    const perSecond = seconds > 0 ? (done - lane.from) / seconds : null;
    const secondsLeft = perSecond ? (total - done) / perSecond : null;
    this.#io.stderr(
      `${JSON.stringify({ time: new Date().toISOString(), level: 'progress', of: prefix === '' ? undefined : prefix, phase, done, total, perSecond, secondsLeft, detail })}\n`,
    );
  }
}

function laneLine(prefix: string, { phase, event, start, from }: Lane, now: number, columns: number): string {
  return progressLine(prefix === '' ? phase : `${prefix}: ${phase}`, event, (now - start) / 1000, columns, from);
}

/** `repair [######----] 60 % 120/200 14.2/s 6 s left loss 3.2`; without bar when `columns` is 0. `seconds` have passed since `from` were done. */
export function progressLine(name: string, event: ProgressEvent, seconds: number, columns: number, from = 0): string {
  const { done, total } = event;
  const share = total > 0 ? Math.min(1, done / total) : 0;
  const rate = seconds > 0 ? (done - from) / seconds : 0;
  const words = [`${Math.floor(share * 100)} %`, `${formatCount(done)}/${formatCount(total)}`];
  if (rate > 0 && done < total) words.push(`${formatCount(rate)}/s`, `${formatDuration((total - done) / rate)} left`);
  if (event.detail) words.push(event.detail);
  const width = Math.max(0, Math.min(24, columns - name.length - words.join(' ').length - 4));
  const bar = width < 6 ? '' : ` [${'#'.repeat(Math.round(share * width)).padEnd(width, '-')}]`;
  const line = `${name}${bar} ${words.join(' ')}`;
  return columns > 0 ? line.slice(0, columns) : line;
}

function formatCount(value: number): string {
  if (value >= 100 || Number.isInteger(value)) return value >= 1e7 ? value.toExponential(2) : String(Math.round(value));
  return value.toPrecision(3);
}

export function formatDuration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
