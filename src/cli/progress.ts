import type { ProgressEvent } from '../core/run-options.ts';
import type { CliIo } from './io.ts';

/** Milliseconds between redrawn bars on a terminal, and between plain lines elsewhere. */
const REDRAW_MS = 100;
const LINE_MS = 5000;

/** Shows progress with rate and time left on stderr: one redrawn line on a terminal, a line every few seconds elsewhere. */
export class ProgressReporter {
  readonly #io: CliIo;
  readonly #quiet: boolean;
  readonly #now: () => number;
  #phase = '';
  #phaseStart = 0;
  #phaseDone = 0;
  /** `done` when the phase began or came back: validation interrupts training, and only what was done since counts */
  #phaseFrom = 0;
  #lastShown = 0;
  #drawn = false;

  constructor(io: CliIo, options: { quiet: boolean; now?: () => number }) {
    this.#io = io;
    this.#quiet = options.quiet;
    this.#now = options.now ?? (() => performance.now());
    this.#lastShown = this.#now();
  }

  /** `prefix` names what the phase belongs to, e.g. a cell of a study. */
  update(event: ProgressEvent, prefix = ''): void {
    if (this.#quiet) return;
    const now = this.#now();
    const name = prefix === '' ? event.phase : `${prefix}: ${event.phase}`;
    if (name !== this.#phase || event.done < this.#phaseDone) {
      this.#phase = name;
      this.#phaseStart = now;
      this.#phaseFrom = event.done;
    }
    this.#phaseDone = event.done;
    if (now - this.#lastShown < (this.#io.interactive ? REDRAW_MS : LINE_MS)) return;
    this.#lastShown = now;
    const line = progressLine(
      name,
      event,
      (now - this.#phaseStart) / 1000,
      this.#io.interactive ? this.#io.columns - 1 : 0,
      this.#phaseFrom,
    );
    if (this.#io.interactive) {
      this.#io.stderr(`\r\u001b[2K${line}`);
      this.#drawn = true;
    } else {
      this.#io.stderr(`${line}\n`);
    }
  }

  /** Removes the redrawn line, so that other text can be printed. */
  clear(): void {
    if (this.#drawn) this.#io.stderr('\r\u001b[2K');
    this.#drawn = false;
  }

  /** A line for a person that stays. */
  log(line: string): void {
    if (this.#quiet) return;
    this.clear();
    this.#io.stderr(`${line}\n`);
  }
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
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}
