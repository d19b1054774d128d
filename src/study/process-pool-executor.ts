import { type ChildProcess, fork } from 'node:child_process';
import { extname } from 'node:path';
import { type ErrorCode, MendsetError } from '../core/errors.ts';
import type { ProgressEvent, RunOptions } from '../core/run-options.ts';
import type { Machine } from './cell-result.ts';
import type { EngineExecutorOptions } from './engine-executor.ts';
import type { CellOutcome, StudyExecutor } from './executor.ts';
import type { PlannedCell } from './plan.ts';

export type WorkerRequest =
  | { readonly type: 'open'; readonly path: string; readonly options: EngineExecutorOptions }
  | { readonly type: 'compute'; readonly key: string }
  | { readonly type: 'abort' };

export type WorkerReply =
  | { readonly type: 'opened' }
  | { readonly type: 'progress'; readonly event: ProgressEvent }
  | { readonly type: 'outcome'; readonly outcome: CellOutcome }
  | { readonly type: 'error'; readonly code: ErrorCode; readonly message: string; readonly problems: readonly string[] };

interface Worker {
  readonly child: ChildProcess;
  /** It has read the study */
  open: boolean;
  busy: boolean;
}

export interface ProcessPoolOptions extends EngineExecutorOptions {
  /** Processes that compute at the same time, each with a model of its own */
  readonly jobs: number;
}

/**
 * Computes several cells at once, each in a process of its own, because one process gives its engine to one task at a time. A
 * process that dies (killed for its memory, say) fails its cell alone and is replaced.
 */
export class ProcessPoolExecutor implements StudyExecutor {
  readonly concurrency: number;
  readonly #path: string;
  readonly #options: EngineExecutorOptions;
  readonly #workers: Worker[] = [];
  readonly #local: StudyExecutor;

  /**
   * @param path the study file, which every process reads itself
   * @param local tells the machine of cells that fail before a process could, and makes what is made of all cells together
   */
  constructor(path: string, { jobs, ...options }: ProcessPoolOptions, local: StudyExecutor) {
    this.concurrency = jobs;
    this.#path = path;
    this.#options = options;
    this.#local = local;
  }

  machine(): Machine {
    return this.#local.machine();
  }

  async compute(cell: PlannedCell, options: RunOptions): Promise<CellOutcome> {
    const worker = this.#workers.find((w) => !w.busy) ?? this.#start();
    worker.busy = true;
    const abort = () => worker.child.connected && worker.child.send({ type: 'abort' } satisfies WorkerRequest);
    options.signal?.addEventListener('abort', abort, { once: true });
    try {
      if (!worker.open) await this.#ask(worker, { type: 'open', path: this.#path, options: this.#options }, options);
      worker.open = true;
      const reply = await this.#ask(worker, { type: 'compute', key: cell.key }, options);
      return (reply as Extract<WorkerReply, { type: 'outcome' }>).outcome;
    } finally {
      options.signal?.removeEventListener('abort', abort);
      worker.busy = false;
    }
  }

  async finish(cells: readonly PlannedCell[], options: RunOptions): Promise<void> {
    await this.#local.finish?.(cells, options);
  }

  dispose(): void {
    for (const { child } of this.#workers) child.kill('SIGKILL');
    this.#workers.length = 0;
  }

  #start(): Worker {
    const script = new URL(`./cell-worker${extname(import.meta.url)}`, import.meta.url);
    const worker: Worker = { child: fork(script, { serialization: 'advanced' }), open: false, busy: false };
    this.#workers.push(worker);
    worker.child.once('exit', () => {
      const i = this.#workers.indexOf(worker);
      if (i >= 0) this.#workers.splice(i, 1);
    });
    return worker;
  }

  /** Sends one request and waits for its answer, handing progress on. */
  #ask({ child }: Worker, request: WorkerRequest, options: RunOptions): Promise<WorkerReply> {
    return new Promise((resolve, reject) => {
      const end = () => {
        child.off('message', take);
        child.off('exit', lost);
      };
      const take = (reply: WorkerReply) => {
        if (reply.type === 'progress') {
          options.onProgress?.(reply.event);
          return;
        }
        end();
        if (reply.type !== 'error') resolve(reply);
        else if (reply.code === 'internal') reject(new Error(reply.message));
        else reject(new MendsetError(reply.code, reply.message, { problems: reply.problems }));
      };
      const lost = (code: number | null, signal: NodeJS.Signals | null) => {
        end();
        const why = signal === 'SIGKILL' ? 'killed by the system, perhaps for its memory' : `ended with ${signal ?? code}`;
        reject(new Error(`the process that computed this cell was ${why}; use fewer --jobs if memory is short`));
      };
      child.on('message', take);
      child.once('exit', lost);
      child.send(request);
    });
  }
}
