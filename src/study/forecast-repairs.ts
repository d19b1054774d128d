import { MendsetError } from '../core/errors.ts';
import { type RunOptions, throwIfAborted } from '../core/run-options.ts';
import type { PairRecord, Pool } from '../data/record.ts';
import type { BackendName } from '../model/load-weights.ts';
import { forecastRepair, type RepairForecast } from '../repair/forecast-repair.ts';
import type { NormalText } from '../repair/repair-data.ts';
import { loadTokenizer } from '../tokenizer/load.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { canonicalJson } from './cell-key.ts';
import type { ModelConfig } from './config.ts';
import { makeRepair, repairOptions } from './make-repair.ts';
import { type PlannedCell, windowKey } from './plan.ts';
import type { StudyInputs } from './study-inputs.ts';

/** Tokens of a normal text that is still to be sampled: the most it will have. */
const SAMPLED_TOKENS = 101;

export interface RepairForecasts {
  /** On the whole window of the first data seed, by `forecastKey` */
  readonly byKey: ReadonlyMap<string, RepairForecast>;
  /** One sentence for each repair that cannot run on these data */
  readonly problems: readonly string[];
}

/** Cells of equal keys have one forecast: what is trained and how, on which window. */
export function forecastKey(cell: PlannedCell): string {
  return canonicalJson([cell.repairConfig, cell.window]);
}

/** What each repair of a model's cells will do and hold, as `mendset repair --dry-run` tells it; the texts are tokenised once for all. */
export async function forecastRepairs(
  inputs: StudyInputs,
  cells: readonly PlannedCell[],
  model: ModelConfig,
  options: RunOptions & { readonly backend?: BackendName | undefined; readonly threads?: number | undefined },
): Promise<RepairForecasts> {
  const byKey = new Map<string, RepairForecast>();
  const problems: string[] = [];
  const tried = new Set<string>();
  const tokenizer = await loadTokenizer(model.path, { optional: true });
  const records = new Map<PairRecord, PairRecord>();
  const encoded = (list: readonly PairRecord[]) =>
    list.map((record) => {
      const known = records.get(record) ?? encodedRecord(record, tokenizer);
      records.set(record, known);
      return known;
    });
  let normal: readonly NormalText[] | undefined;
  for (const cell of cells) {
    const { repairConfig: config } = cell;
    if (config === null || cell.seed === null || tried.has(forecastKey(cell))) continue;
    tried.add(forecastKey(cell));
    throwIfAborted(options.signal);
    const pool = inputs.pools.get(windowKey(cell.seed, cell.window)) as Pool;
    if (config.kl) normal ??= normalTexts(inputs, tokenizer);
    try {
      byKey.set(
        forecastKey(cell),
        await forecastRepair(
          model.path,
          {
            train: encoded(pool.records),
            validation: encoded(pool.validation),
            normal,
            appendEos: pool.appendEos,
            poolIndices: pool.records.map((_, i) => i),
          },
          makeRepair(config),
          { ...repairOptions(config), backend: options.backend, threads: options.threads, weights: model.weights },
        ),
      );
    } catch (error) {
      if (!(error instanceof MendsetError) || error.code === 'aborted') throw error;
      problems.push(`${model.name}: ${cell.repair}: ${error.message}`);
    }
  }
  return { byKey, problems: [...new Set(problems)] };
}

function encodedRecord(record: PairRecord, tokenizer: Tokenizer | null): PairRecord {
  if (!tokenizer) return record;
  const ids = (text: string) => [...tokenizer.encode(text)];
  const { promptIds, chosenIds, rejectedIds, rejected } = record;
  return {
    ...record,
    promptIds: promptIds ?? ids(record.prompt),
    chosenIds: chosenIds ?? ids(record.chosen),
    ...(rejectedIds !== undefined || rejected === null ? {} : { rejectedIds: ids(rejected) }),
  };
}

function normalTexts({ config, normal }: StudyInputs, tokenizer: Tokenizer | null): readonly NormalText[] | undefined {
  if (config.normal && 'generate' in config.normal)
    return Array.from({ length: config.normal.generate }, () => new Int32Array(SAMPLED_TOKENS));
  return tokenizer ? normal?.map((text) => tokenizer.encode(text)) : (normal ?? undefined);
}
