import { didYouMean } from '../core/nearest-name.ts';
import type { CellPlace } from './cell-result.ts';
import type { RepairConfig, SelectorConfig, StudyConfig, TrainingConfig } from './config.ts';
import { mergeTraining, type RawTraining } from './training-options.ts';

/** Some cells of the grid: every axis that is named must agree. */
export interface CellPattern {
  readonly model?: readonly string[] | undefined;
  readonly repair?: readonly string[] | undefined;
  readonly selector?: readonly string[] | undefined;
  readonly proportion?: readonly number[] | undefined;
  readonly boundaryRatio?: readonly number[] | undefined;
  readonly seed?: readonly number[] | undefined;
}

/** What the cells of a pattern do otherwise than the study says. */
export interface CellOverride {
  readonly when: CellPattern;
  /** N for these models and repairs */
  readonly window?: StudyConfig['pool']['window'] | undefined;
  readonly repair?: (Partial<TrainingConfig> & Partial<Pick<RepairConfig, 'kl' | 'beta' | 'slice' | 'blocks' | 'lora'>>) | undefined;
  readonly selector?: Readonly<Record<string, unknown>> | undefined;
}

export function matches(pattern: CellPattern, place: CellPlace): boolean {
  return (Object.entries(pattern) as [keyof CellPattern, readonly unknown[] | undefined][]).every(
    ([axis, values]) => values === undefined || values.includes(place[axis]),
  );
}

/** The unrepaired model is never excluded: everything is measured against it. */
export function isExcluded(config: StudyConfig, place: CellPlace): boolean {
  return place.kind !== 'unrepaired' && config.exclude.some((pattern) => matches(pattern, place));
}

/** N of a model and repair; the last override that names it counts. */
export function windowOf(config: StudyConfig, place: CellPlace): StudyConfig['pool']['window'] {
  return config.overrides.findLast((o) => o.window !== undefined && matches(o.when, place))?.window ?? config.pool.window;
}

/** The repair of one cell, with its overrides in the order they are written. */
export function repairOf(config: StudyConfig, repair: RepairConfig, place: CellPlace): RepairConfig {
  let resolved = repair;
  for (const { when, repair: changes } of config.overrides) {
    if (!changes || !matches(when, place)) continue;
    const {
      kl = resolved.kl,
      beta = resolved.beta,
      slice = resolved.slice,
      blocks = resolved.blocks,
      lora = resolved.lora,
      ...training
    } = changes;
    const { epochs = 1, ...merged } = mergeTraining<RawTraining>(resolved.training, training);
    resolved = {
      ...resolved,
      kl,
      beta,
      slice,
      ...(blocks === undefined ? {} : { blocks }),
      ...(lora === undefined ? {} : { lora }),
      training: { ...(merged as TrainingConfig), epochs },
    };
  }
  return resolved;
}

export function selectorOf(config: StudyConfig, selector: SelectorConfig, place: CellPlace): SelectorConfig {
  let resolved = selector;
  for (const { when, selector: changes } of config.overrides)
    if (changes && matches(when, place)) resolved = { ...resolved, ...changes } as SelectorConfig;
  return resolved;
}

const AXES: Readonly<Record<keyof CellPattern, (config: StudyConfig) => readonly (string | number)[]>> = {
  model: (c) => c.models.map((m) => m.name),
  repair: (c) => c.repairs.map((r) => r.name),
  selector: (c) => [...c.selectors.map((s) => s.name), 'full'],
  proportion: (c) => [...c.proportions, 1],
  boundaryRatio: (c) => c.boundaryRatios,
  seed: (c) => c.seeds,
};

/** What is wrong with the values of a pattern: those that the study does not have would match nothing. */
export function patternProblems(config: StudyConfig, pattern: CellPattern): { axis: string; sentence: string }[] {
  return (Object.entries(pattern) as [keyof CellPattern, readonly (string | number)[] | undefined][]).flatMap(([axis, values]) => {
    const known = AXES[axis](config);
    return (values ?? [])
      .filter((value) => !known.includes(value))
      .map((value) => ({
        axis,
        sentence: `expected one of the study's own values (${[...new Set(known)].join(', ')}) but received ${JSON.stringify(value)}.${typeof value === 'string' ? didYouMean(value, known.map(String)) : ''}`,
      }));
  });
}
