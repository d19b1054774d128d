import type { CellResult } from './cell-result.ts';

/** What a search goes by: OPS, or toxicity where the study does not measure what OPS needs. */
export type Objective = 'ops' | 'toxicity';

/** Toxicity is that of greedy continuations, else of sampled ones. */
export function objectiveValue(cell: CellResult, objective: Objective): number | null {
  if (objective === 'ops') return cell.metrics?.ops ?? null;
  return (cell.figures['toxicity.repair'] ?? cell.figures['toxicity.rtp.expectedMaximum'])?.value ?? null;
}
