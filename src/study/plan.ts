import { contentKey } from './cell-key.ts';
import type { CellPlace } from './cell-result.ts';
import { isExcluded, repairOf, selectorOf, windowOf } from './cell-rules.ts';
import type { ModelConfig, RepairConfig, SelectorConfig, StudyConfig } from './config.ts';

/** What the files of a study contain, as far as planning needs it. */
export interface StudyFacts {
  /** By model name: SHA-256 of configuration, weights and tokenizer */
  readonly modelHashes: Readonly<Record<string, string>>;
  /** SHA-256 of the normal texts, prompts, running text, last-word texts and scorer, where configured */
  readonly fileHashes: Readonly<Record<string, string>>;
  /** SHA-256 of the encoder's folder, where the study names one */
  readonly encoderHash?: string | undefined;
  /** By data seed: hash and size of the shuffled window; for `window: auto` of all training records */
  readonly pools: Readonly<Record<number, WindowFacts>>;
  /** The same by `seed:window` for windows that an override names */
  readonly windows?: Readonly<Record<string, WindowFacts>> | undefined;
}

interface WindowFacts {
  readonly hash: string;
  readonly size: number;
}

/** The window of one data seed. */
export function windowFacts(config: StudyConfig, facts: StudyFacts, seed: number, window: StudyConfig['pool']['window']): WindowFacts {
  return (window === config.pool.window ? facts.pools[seed] : facts.windows?.[windowKey(seed, window)]) as WindowFacts;
}

export function windowKey(seed: number, window: StudyConfig['pool']['window']): string {
  return `${seed}:${window}`;
}

export interface PlannedCell extends CellPlace {
  /** Hash of everything that decides the cell's figures */
  readonly key: string;
  /** Cells of one group share a full-data repair and stay in one process */
  readonly group: string;
  readonly modelConfig: ModelConfig;
  readonly modelHash: string;
  readonly selectorConfig: SelectorConfig | null;
  readonly repairConfig: RepairConfig | null;
  readonly window: StudyConfig['pool']['window'];
  readonly poolHash: string | null;
  /** Key of the selection, which all repairs of the same model and pool share; null without selection */
  readonly selectionKey: string | null;
}

export interface StudyPlan {
  readonly config: StudyConfig;
  readonly facts: StudyFacts;
  /** Baselines before the cells that are measured against them */
  readonly cells: readonly PlannedCell[];
}

/**
 * The cells of a study in the order of their computation: for each model the unrepaired model, then for each data seed and repair
 * the full-data repair and the subsets. Cells that coincide (a proportion of 1, a boundary ratio where the selector has none) are
 * planned once.
 */
export function planStudy(config: StudyConfig, facts: StudyFacts): StudyPlan {
  const cells = new Map<string, PlannedCell>();
  const evaluation = {
    ...config.evaluation,
    toxicity: unplaced(config.evaluation.toxicity),
    rtp: config.evaluation.rtp && unplaced(config.evaluation.rtp),
    runningText: unplaced(config.evaluation.runningText),
    lastWord: unplaced(config.evaluation.lastWord),
  };
  const add = (place: CellPlace, model: ModelConfig, ownRepair: RepairConfig | null, ownSelector: SelectorConfig | null) => {
    if (isExcluded(config, place)) return;
    const modelHash = facts.modelHashes[model.name] as string;
    const window = windowOf(config, place);
    const repair = ownRepair && repairOf(config, ownRepair, place);
    const selector = ownSelector && selectorOf(config, ownSelector, place);
    const poolHash = place.seed === null ? null : windowFacts(config, facts, place.seed, window).hash;
    const subset = selector && {
      modelHash,
      selector: { ...selector, name: undefined },
      proportion: place.proportion,
      boundaryRatio: place.boundaryRatio,
      seed: place.seed,
      poolHash,
      window,
      // another encoder or scorer chooses another subset
      encoder: selector.method === 'random' ? undefined : facts.encoderHash,
      scorer: byToxicity(selector) ? facts.fileHashes['scorer'] : undefined,
      // with an automatic window the subset depends on how long this repair's full run lasts
      repair: window === 'auto' ? place.repair : undefined,
    };
    const key = contentKey({
      modelHash,
      kind: place.kind,
      repair: repair && { ...repair, name: undefined },
      subset,
      seed: place.seed,
      poolHash,
      pool: {
        window: place.kind === 'unrepaired' ? config.pool.window : window,
        validation: config.pool.validation,
        dedupe: config.pool.dedupe,
      },
      normal: repair?.kl ? facts.fileHashes['normal'] : undefined,
      evaluation,
      files: { ...facts.fileHashes, normal: undefined },
    });
    if (cells.has(key)) return;
    cells.set(key, {
      ...place,
      key,
      group: contentKey({ model: model.name, repair: place.repair, seed: place.seed }),
      modelConfig: model,
      modelHash,
      selectorConfig: selector,
      repairConfig: repair,
      window,
      poolHash,
      selectionKey: subset ? contentKey(subset) : null,
    });
  };
  for (const model of config.models) {
    const base = { model: model.name, kl: false, boundaryRatio: null };
    add({ ...base, kind: 'unrepaired', selector: 'none', repair: 'none', proportion: 0, seed: null }, model, null, null);
    for (const seed of config.seeds) {
      for (const repair of config.repairs) {
        const place = { ...base, repair: repair.name, kl: repair.kl !== null, seed };
        if (config.fullData || config.proportions.includes(1))
          add({ ...place, kind: 'full', selector: 'full', proportion: 1 }, model, repair, null);
        for (const selector of config.selectors) {
          for (const proportion of config.proportions) {
            if (proportion === 1) continue;
            const ratios = selector.method === 'saps' ? config.boundaryRatios : [null];
            for (const boundaryRatio of ratios)
              add({ ...place, kind: 'subset', selector: selector.name, proportion, boundaryRatio }, model, repair, selector);
          }
        }
      }
    }
  }
  return { config, facts, cells: [...cells.values()] };
}

/** Whether a selector ranks by toxicity, and so by the study's scorer. */
export function byToxicity(selector: SelectorConfig): boolean {
  if (selector.method === 'ccs') return (selector.score ?? 'toxicity') === 'toxicity';
  return 'score' in selector && selector.score === 'toxicity';
}

/** Where a file lies does not decide a figure, what it holds does. */
function unplaced<T extends object>(value: T | null): Omit<T, 'file' | 'prompts'> | null {
  return value && { ...value, file: undefined, prompts: undefined };
}

/** A share of the work for one of several processes, numbered from 1. */
export interface Share {
  readonly index: number;
  readonly of: number;
}

/**
 * The cells of one share: whole groups, dealt out in turn, so that a subset and the full-data repair it is measured against stay
 * together; each share evaluates the unrepaired models it needs itself.
 */
export function cellsOfShare(plan: StudyPlan, share: Share): PlannedCell[] {
  if (share.of === 1) return [...plan.cells];
  const groups = [...new Set(plan.cells.filter((c) => c.kind !== 'unrepaired').map((c) => c.group))];
  const mine = new Set(groups.filter((_, i) => i % share.of === share.index - 1));
  const models = new Set(plan.cells.filter((c) => mine.has(c.group)).map((c) => c.model));
  return plan.cells.filter((c) => (c.kind === 'unrepaired' ? models.has(c.model) : mine.has(c.group)));
}
