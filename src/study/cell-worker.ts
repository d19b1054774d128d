// A process that computes cells of a study for another one: the study and the options come with the first message, then one cell a message.
import { MendsetError } from '../core/errors.ts';
import { EngineExecutor } from './engine-executor.ts';
import { openStudy } from './open-study.ts';
import type { PlannedCell } from './plan.ts';
import type { WorkerReply, WorkerRequest } from './process-pool-executor.ts';

let executor: EngineExecutor | null = null;
let cells: ReadonlyMap<string, PlannedCell> = new Map();
let controller = new AbortController();

const reply = (message: WorkerReply) => process.send?.(message);

process.on('message', (request: WorkerRequest) => {
  if (request.type === 'abort') controller.abort(new MendsetError('aborted', 'Interrupted.'));
  else void answer(request);
});
// without its coordinator nobody would take the result
process.on('disconnect', () => process.exit(1));
// Ctrl-C reaches the whole group; the coordinator says when to stop
process.on('SIGINT', () => undefined);

async function answer(request: Exclude<WorkerRequest, { type: 'abort' }>): Promise<void> {
  try {
    if (request.type === 'open') {
      const { inputs, plan } = await openStudy(request.path);
      cells = new Map(plan.cells.map((c) => [c.key, c]));
      executor = new EngineExecutor(inputs, request.options);
      reply({ type: 'opened' });
      return;
    }
    const cell = cells.get(request.key);
    if (!cell || !executor)
      throw new MendsetError('invalid-config', 'Expected the study and its files to stay as they were when it began; start it again.');
    controller = new AbortController();
    let last = 0;
    const outcome = await executor.compute(cell, {
      signal: controller.signal,
      onProgress: (event) => {
        const now = performance.now();
        if (now - last < 100 && event.done < event.total) return;
        last = now;
        reply({ type: 'progress', event });
      },
    });
    reply({
      type: 'outcome',
      outcome: { ...outcome, machine: executor.machine(), peakMemoryBytes: process.resourceUsage().maxRSS * 1024 },
    });
  } catch (error) {
    const code = error instanceof MendsetError ? error.code : 'internal';
    const problems = error instanceof MendsetError ? [...error.problems] : [];
    reply({ type: 'error', code, message: error instanceof Error ? error.message : String(error), problems });
  }
}
