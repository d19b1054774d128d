import type { TrainingConfig } from './config.ts';

/** Training options as one mapping of a study file says them. */
export type RawTraining = { [K in keyof TrainingConfig]?: TrainingConfig[K] | undefined };

/** How long a run is can be said in one of two ways; the nearer one wins. */
const BUDGETS = [['steps'], ['epochs', 'maxSteps']] as const satisfies readonly (readonly (keyof TrainingConfig)[])[];

/** `steps` beside what it excludes, as they were written in one mapping. */
export function budgetConflict(options: RawTraining): 'epochs' | 'maxSteps' | null {
  if (options.steps === undefined) return null;
  return options.epochs !== undefined ? 'epochs' : options.maxSteps !== undefined ? 'maxSteps' : null;
}

/** What `nearer` says, else `farther`; a budget of the one kind there takes away that of the other kind here. */
export function mergeTraining<T extends RawTraining>(farther: T, nearer: RawTraining): T {
  const kept: RawTraining = { ...farther };
  for (const [own, other] of [BUDGETS, [BUDGETS[1], BUDGETS[0]] as const])
    if (own.some((key) => nearer[key] !== undefined)) for (const key of other) delete kept[key];
  return { ...kept, ...Object.fromEntries(Object.entries(nearer).filter(([, value]) => value !== undefined)) } as T;
}
