import { throwIfAborted } from '../core/run-options.ts';
import type { PlannedCell } from './plan.ts';

/**
 * Computes cells in their order, up to `concurrency` at once. A subset waits for the baselines it is measured against, and what
 * several cells share (a selection with its features, an automatic window) is computed by the first of them alone. After an error
 * nothing new begins; the error is thrown when everything that runs has ended.
 */
export async function computeInOrder(
  cells: readonly PlannedCell[],
  concurrency: number,
  signal: AbortSignal | undefined,
  compute: (cell: PlannedCell, index: number) => Promise<void>,
): Promise<void> {
  const waiting = cells.map((cell, index) => ({ cell, index }));
  const running = new Map<PlannedCell, Promise<void>>();
  const known = new Set<string>();
  const errors: unknown[] = [];
  const unfinished = () => [...running.keys(), ...waiting.map((w) => w.cell)];
  const isReady = (cell: PlannedCell) => {
    if (unfinished().some((other) => other !== cell && isBaselineOf(other, cell))) return false;
    const wanted = sharedWork(cell).filter((key) => !known.has(key));
    return ![...running.keys()].some((other) => sharedWork(other).some((key) => wanted.includes(key)));
  };
  for (;;) {
    while (errors.length === 0 && !signal?.aborted && running.size < concurrency) {
      const i = waiting.findIndex(({ cell }) => isReady(cell));
      if (i < 0) break;
      const [{ cell, index }] = waiting.splice(i, 1) as [(typeof waiting)[number]];
      running.set(
        cell,
        compute(cell, index)
          .catch((error: unknown) => {
            errors.push(error);
          })
          .finally(() => {
            running.delete(cell);
            for (const key of sharedWork(cell)) known.add(key);
          }),
      );
    }
    if (running.size === 0) break;
    await Promise.race(running.values());
  }
  if (errors.length > 0) throw errors[0];
  throwIfAborted(signal);
}

function isBaselineOf(baseline: PlannedCell, cell: PlannedCell): boolean {
  if (baseline.kind === 'unrepaired') return cell.kind !== 'unrepaired' && baseline.model === cell.model;
  return baseline.kind === 'full' && cell.kind === 'subset' && baseline.group === cell.group;
}

/** Names of what the first of several cells computes for all of them. */
function sharedWork(cell: PlannedCell): string[] {
  const keys: string[] = [];
  if (cell.selectionKey !== null && cell.selectorConfig?.method !== 'random')
    keys.push(`features ${cell.modelHash} ${cell.poolHash}`, `selection ${cell.selectionKey}`);
  if (cell.kind !== 'unrepaired' && cell.window === 'auto') keys.push(`window ${cell.modelHash} ${cell.repair}`);
  return keys;
}
