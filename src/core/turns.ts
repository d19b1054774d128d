import { type RunOptions, throwIfAborted } from './run-options.ts';

/** Longest stretch of work in JavaScript between two turns of the event loop. */
const STRETCH_MS = 15;

/**
 * Keeps long work in JavaScript from holding the event loop: after 15 ms it lets others run, reports progress and looks at the signal.
 * Where the turns fall changes no result.
 *
 * @example
 * const turns = new Turns('ranking', run);
 * for (let i = 0; i < n; i++) {
 *   if (i % 4096 === 0 && turns.due()) await turns.take(i, n);
 *   ...
 * }
 */
export class Turns {
  readonly #phase: string;
  readonly #options: RunOptions;
  #last: number = performance.now();

  constructor(phase: string, options: RunOptions) {
    this.#phase = phase;
    this.#options = options;
    throwIfAborted(options.signal);
  }

  due(): boolean {
    return performance.now() - this.#last > STRETCH_MS;
  }

  /** @throws MendsetError `aborted` */
  async take(done: number, total: number): Promise<void> {
    this.#options.onProgress?.({ phase: this.#phase, done, total });
    await new Promise((resolve) => setImmediate(resolve));
    throwIfAborted(this.#options.signal);
    this.#last = performance.now();
  }
}
