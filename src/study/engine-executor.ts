import { mkdir, readFile } from 'node:fs/promises';
import { arch, cpus, platform } from 'node:os';
import { join } from 'node:path';
import { pathKind, writeFileAtomic } from '../core/files.ts';
import { packageVersion } from '../core/package-version.ts';
import type { RunOptions } from '../core/run-options.ts';
import type { PairRecord, Pool } from '../data/record.ts';
import type { EvaluationResult } from '../evaluate/evaluate.ts';
import { evaluate } from '../evaluate/evaluate.ts';
import { type Embedder, loadEmbedder } from '../features/embedder.ts';
import { LanguageModel } from '../model/language-model.ts';
import type { BackendName } from '../model/load-weights.ts';
import { engineInfo } from '../native/engine-info.ts';
import type { RepairOptions } from '../repair/options.ts';
import { ReferenceCache } from '../repair/reference-cache.ts';
import { repair } from '../repair/repair.ts';
import { removeRunState, STATE_FILE } from '../repair/run-state.ts';
import type { Figure, Machine, SelectionSummary } from './cell-result.ts';
import type { ModelConfig, RepairConfig } from './config.ts';
import { drawPoolMap } from './draw-pool-map.ts';
import type { CellOutcome, Sample, StudyExecutor } from './executor.ts';
import { makeRepair, repairOptions, repairSummary } from './make-repair.ts';
import { makeSelector } from './make-selector.ts';
import { type PlannedCell, windowKey } from './plan.ts';
import { poolMapPath } from './pool-map.ts';
import { select, selectionSummary, textScoring } from './select-records.ts';
import type { StudyInputs } from './study-inputs.ts';

export interface EngineExecutorOptions {
  /** The study folder: caches and selections are kept in it */
  readonly directory: string;
  readonly backend?: BackendName | undefined;
  readonly threads?: number | undefined;
}

/** The state of a long repair is also written on an interrupt; this bounds what a power cut costs. */
const STEPS_BETWEEN_STATES = 500;

interface KeptSelection {
  readonly indices: readonly number[];
  readonly summary: SelectionSummary;
}

/**
 * Computes cells with the native engine. One model is resident at a time, unrepaired, and copied for each repair; its reference
 * values, features and selections are computed once and shared by all its cells.
 */
export class EngineExecutor implements StudyExecutor {
  readonly #inputs: StudyInputs;
  readonly #options: EngineExecutorOptions;
  #resident: { name: string; model: LanguageModel; references: ReferenceCache } | null = null;
  #embedder: Embedder | null = null;
  #machine: Machine | null = null;

  constructor(inputs: StudyInputs, options: EngineExecutorOptions) {
    this.#inputs = inputs;
    this.#options = options;
  }

  machine(): Machine {
    const info = engineInfo();
    const summary = this.#resident?.model.summary;
    this.#machine = {
      mendset: packageVersion(),
      node: process.version,
      platform: `${platform()}-${arch()}`,
      cpu: cpus()[0]?.model.trim() ?? 'unknown',
      isa: info.isa,
      backend: summary?.backend ?? this.#machine?.backend ?? this.#options.backend ?? 'auto',
      device: summary?.device ?? this.#machine?.device ?? 'unknown',
      threads: summary?.threads ?? this.#machine?.threads ?? info.threads,
    };
    return this.#machine;
  }

  /** Loads the cells' models one after another, the first one last, which stays resident. */
  async check(cells: readonly PlannedCell[], options: RunOptions): Promise<void> {
    const models = new Map(cells.map((c) => [c.model, c.modelConfig]));
    for (const config of [...models.values()].reverse()) await this.#load(config, options);
  }

  async compute(cell: PlannedCell, options: RunOptions): Promise<CellOutcome> {
    const { model, references } = await this.#load(cell.modelConfig, options);
    if (cell.repairConfig === null || cell.seed === null) {
      return { window: null, selection: null, repairRun: null, ...(await this.#evaluate(model, options)) };
    }
    const pool = await this.#pool(cell, cell.repairConfig, options);
    const chosen = cell.selectorConfig ? await this.#select(cell, pool, options) : null;
    const train = chosen ? chosen.indices.map((i) => pool.records[i] as PairRecord) : pool.records;
    // an interrupted cell goes on with its next step
    const state = join(this.#options.directory, 'state', cell.key);
    using repaired = model.copy();
    const result = await repair(
      repaired,
      {
        train,
        validation: pool.validation,
        normal: this.#inputs.normal ?? undefined,
        appendEos: pool.appendEos,
        poolIndices: chosen?.indices ?? pool.records.map((_, i) => i),
      },
      makeRepair(cell.repairConfig),
      {
        ...repairOptions(cell.repairConfig),
        references,
        generateNormal: this.#generateNormal(),
        checkpoint: { directory: state, everySteps: STEPS_BETWEEN_STATES },
        resume: (await pathKind(join(state, STATE_FILE))) === 'file',
        ...options,
      },
    );
    await removeRunState(state);
    return {
      window: pool.records.length,
      selection: chosen?.summary ?? null,
      repairRun: repairSummary(result),
      ...(await this.#evaluate(repaired, options)),
    };
  }

  /** Draws the map of each model's first window, unless it is there. */
  async finish(cells: readonly PlannedCell[], options: RunOptions): Promise<void> {
    const { directory } = this.#options;
    for (const name of new Set(cells.map((c) => c.model))) {
      const path = poolMapPath(directory, name);
      const subsets = cells.filter((c) => c.model === name && c.selectorConfig && c.repairConfig);
      const first = subsets[0];
      if (!first || (await pathKind(path)) === 'file') continue;
      const { model } = await this.#load(first.modelConfig, options);
      const pool = await this.#pool(first, first.repairConfig as RepairConfig, options);
      const own = subsets.filter((c) => c.seed === first.seed && c.poolHash === first.poolHash);
      const map = await drawPoolMap(directory, pool, own, model, { ...options, onProgress: undefined });
      if (!map) continue;
      await mkdir(join(directory, 'maps'), { recursive: true });
      await writeFileAtomic(path, `${JSON.stringify(map)}\n`);
    }
  }

  /** The study's encoder, loaded once for all its models. */
  async #embedderOfStudy(options: RunOptions): Promise<Embedder> {
    this.#embedder ??= await loadEmbedder(this.#inputs.config.encoder, {
      backend: this.#options.backend,
      threads: this.#options.threads,
      ...options,
    });
    return this.#embedder;
  }

  dispose(): void {
    this.#embedder?.encoder?.dispose();
    this.#embedder?.model?.dispose();
    this.#embedder = null;
    this.#releaseModel();
  }

  #releaseModel(): void {
    this.#resident?.model.dispose();
    this.#resident?.references.dispose();
    this.#resident = null;
  }

  async #load(config: ModelConfig, options: RunOptions): Promise<{ model: LanguageModel; references: ReferenceCache }> {
    if (this.#resident?.name === config.name) return this.#resident;
    this.#releaseModel();
    // the plan keeps paths as they were written, the inputs have them absolute
    const { path, weights } = this.#inputs.config.models.find((m) => m.name === config.name) as ModelConfig;
    const model = await LanguageModel.load(path, { backend: this.#options.backend, threads: this.#options.threads, weights, ...options });
    this.#resident = {
      name: config.name,
      model,
      references: new ReferenceCache({ folder: join(this.#options.directory, 'cache', 'references') }),
    };
    return this.#resident;
  }

  /** The window of the cell's pool; an automatic window is measured once for each model and repair. */
  async #pool(cell: PlannedCell, config: RepairConfig, options: RunOptions): Promise<Pool> {
    const pool = this.#inputs.pools.get(windowKey(cell.seed as number, cell.window)) as Pool;
    if (cell.window !== 'auto') return pool;
    const size = await this.#automaticWindow(cell, config, options);
    return { ...pool, records: pool.records.slice(0, size) };
  }

  /** Examples that full repair on everything consumes before it stops, at the study's first data seed. */
  async #automaticWindow(cell: PlannedCell, config: RepairConfig, options: RunOptions): Promise<number> {
    const { config: study, pools, normal } = this.#inputs;
    const path = join(this.#options.directory, 'windows', `${cell.model}-${cell.repair}.json`.replaceAll(/[^\w.+-]/g, '_'));
    const kept = await readFile(path, 'utf8').catch(() => null);
    if (kept !== null) return (JSON.parse(kept) as { window: number }).window;
    const { model, references } = await this.#load(cell.modelConfig, options);
    const pool = pools.get(windowKey(study.seeds[0] as number, 'auto')) as Pool;
    using trial = model.copy();
    const { examples, stoppedBecause } = await repair(
      trial,
      {
        train: pool.records,
        validation: pool.validation,
        normal: normal ?? undefined,
        appendEos: pool.appendEos,
        poolIndices: pool.records.map((_, i) => i),
      },
      makeRepair(config),
      { ...repairOptions(config), references, generateNormal: this.#generateNormal(), ...options },
    );
    const window = Math.min(examples, pool.records.length);
    await mkdir(join(this.#options.directory, 'windows'), { recursive: true });
    await writeFileAtomic(path, `${JSON.stringify({ window, examples, stoppedBecause })}\n`);
    return window;
  }

  async #select(cell: PlannedCell, pool: Pool, options: RunOptions): Promise<KeptSelection> {
    const folder = join(this.#options.directory, 'selections');
    const path = join(folder, `${cell.selectionKey}.json`);
    const text = await readFile(path, 'utf8').catch(() => null);
    if (text !== null) {
      const kept = JSON.parse(text) as KeptSelection;
      return { ...kept, summary: { ...kept.summary, reused: true } };
    }
    const { model } = await this.#load(cell.modelConfig, options);
    const config = cell.selectorConfig as NonNullable<typeof cell.selectorConfig>;
    const selection = await select(pool, makeSelector(config, cell.boundaryRatio), {
      budget: { fraction: cell.proportion },
      seed: cell.seed as number,
      model,
      embeddings: await this.#embedderOfStudy(options),
      cacheDirectory: join(this.#options.directory, 'cache'),
      ...(config.method === 'grand' && config.norm ? { gradientNorms: { norm: config.norm } } : {}),
      scorer: this.#inputs.scorer ?? undefined,
      backend: this.#options.backend,
      threads: this.#options.threads,
      ...options,
    });
    const kept: KeptSelection = {
      indices: [...selection.indices],
      summary: selectionSummary(selection, selection.phases, selection.featureFlops),
    };
    await mkdir(folder, { recursive: true });
    await writeFileAtomic(path, `${JSON.stringify(kept)}\n`);
    return kept;
  }

  #generateNormal(): RepairOptions['generateNormal'] {
    const { config, scorer } = this.#inputs;
    if (!config.normal || !('generate' in config.normal)) return undefined;
    return {
      count: config.normal.generate,
      cacheDirectory: join(this.#options.directory, 'cache'),
      ...(scorer ? { score: textScoring(scorer), scorerHash: scorer.identity.weightsHash } : {}),
    };
  }

  async #evaluate(
    model: LanguageModel,
    options: RunOptions,
  ): Promise<Pick<CellOutcome, 'figures' | 'scorer' | 'evaluationSeconds' | 'samples'>> {
    const { config, prompts, rtpPrompts, runningText, lastWord, scorer } = this.#inputs;
    const { toxicity, rtp, runningText: running, bootstrapSeed, samples } = config.evaluation;
    const start = performance.now();
    const result = await evaluate(model, {
      prompts: prompts?.map((p) => p.ids ?? p.text),
      scorer: scorer ?? undefined,
      toxicity: toxicity ? { promptTokens: toxicity.promptTokens, maxNewTokens: toxicity.maxNewTokens, seed: bootstrapSeed } : undefined,
      rtpPrompts: rtpPrompts?.map((p) => p.ids ?? p.text),
      rtp: rtp && {
        samples: rtp.samples,
        maxNewTokens: rtp.maxNewTokens,
        topP: rtp.topP,
        temperature: rtp.temperature,
        seeds: rtp.seeds,
        seed: bootstrapSeed,
      },
      runningText: runningText ?? undefined,
      lambada: lastWord ?? undefined,
      perplexity: { window: running?.window ?? undefined, stride: running?.stride ?? undefined },
      ...options,
    });
    const identity = (result.toxicity ?? result.rtp)?.scorer;
    return {
      figures: this.#figures(result),
      scorer: identity ? { name: identity.name, version: identity.version, weightsHash: identity.weightsHash } : null,
      evaluationSeconds: (performance.now() - start) / 1000,
      samples: sampled(result, prompts, rtpPrompts).slice(0, samples),
    };
  }

  /** Figures under the names that the study gives its texts, with interval and counts. */
  #figures(result: EvaluationResult): Record<string, Figure> {
    const { runningText, lastWord } = this.#inputs.config.evaluation;
    return Object.fromEntries(
      result.figures.map(({ name, value, convention, interval, counts }) => {
        const own = name.replace(/^wikitext2\./, `${runningText?.name}.`).replace(/^lambada\./, `${lastWord?.name}.`);
        return [
          own,
          { value, convention, ...(interval ? { interval: [interval.low, interval.high] as const } : {}), counts } satisfies Figure,
        ];
      }),
    );
  }
}

/** Completions for reading: the greedy ones, else each prompt's first sample. */
function sampled(result: EvaluationResult, prompts: StudyInputs['prompts'], rtpPrompts: StudyInputs['rtpPrompts']): Sample[] {
  if (result.toxicity)
    return result.toxicity.records.map((r) => ({ prompt: prompts?.[r.prompt]?.text ?? '', completion: r.completion, toxicity: r.score }));
  const { rtp } = result;
  const first = (rtp?.records ?? []).filter((r) => r.seed === rtp?.seeds[0]);
  return first.map((r) => {
    const sample = r.samples[0];
    return { prompt: rtpPrompts?.[r.prompt]?.text ?? '', completion: sample?.completion ?? '', toxicity: sample?.score ?? null };
  });
}
