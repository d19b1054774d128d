import { join } from 'node:path';
import { MendsetError } from '../core/errors.ts';
import { writeFileAtomic } from '../core/files.ts';
import { RandomStream, STREAM_IDS } from '../core/random.ts';
import { type CellPlace, type CellResult, formatPercent } from './cell-result.ts';
import type { StudyConfig } from './config.ts';
import type { StudyExecutor } from './executor.ts';
import { planStudy, type StudyPlan } from './plan.ts';
import { type RunStudyOptions, runPlannedStudy } from './run-study.ts';
import type { StudyInputs } from './study-inputs.ts';

/** One thing that could be used: a repair with a selector, a share of the window, and for SAPS a boundary ratio. */
export interface Arm extends Pick<CellPlace, 'model' | 'repair' | 'selector' | 'proportion' | 'boundaryRatio'> {
  readonly title: string;
}

/** One round of the search. */
export interface Rung {
  /** Share of the window and of the evaluation's texts */
  readonly fidelity: number;
  readonly arms: number;
  readonly seeds: number;
}

export interface TuneResult {
  readonly objective: 'ops' | 'toxicity';
  readonly recommendation: Arm;
  /** Mean over seeds of the last round; for toxicity smaller is better */
  readonly value: number;
  /** Chance that no other finalist is better, given the spread over seeds; null with one seed, which cannot tell */
  readonly confidence: number | null;
  readonly finalists: readonly (Arm & {
    readonly mean: number;
    readonly sd: number | null;
    readonly seeds: number;
    readonly costSeconds: number;
  })[];
  readonly rounds: readonly (Rung & { readonly best: string; readonly seconds: number })[];
  /** Selection, repair and evaluation of everything that was tried */
  readonly seconds: number;
  /** The same for the whole grid, from the mean full cell of the search */
  readonly gridSeconds: number;
  readonly cells: number;
  readonly gridCells: number;
}

export interface TuneOptions extends RunStudyOptions {
  /** Most work, as a share of the whole grid's; default 0.5 */
  readonly budget?: number | undefined;
}

/** Fewer texts and records than this tell nothing. */
const LEAST_RECORDS = 32;
const LEAST_TEXTS = 16;

/**
 * Finds what to use without computing the whole grid: successive halving. All combinations are tried on a part of the window with a
 * part of the evaluation; the better ones go on with more of both; the finalists are computed in full on every data seed.
 *
 * @param openInputs reads the data of a changed configuration
 * @param makeExecutor computes in a folder
 * @throws MendsetError `invalid-argument` when the budget allows no search
 */
export async function tuneStudy(
  config: StudyConfig,
  openInputs: (config: StudyConfig) => Promise<StudyInputs>,
  makeExecutor: (inputs: StudyInputs, directory: string) => StudyExecutor,
  options: TuneOptions,
): Promise<TuneResult> {
  const model = config.models[0]?.name as string;
  if (config.models.length > 1)
    throw new MendsetError(
      'invalid-argument',
      `Expected one model to tune for but the study has ${config.models.length}; give each a study of its own.`,
    );
  const inputs = await openInputs(config);
  const plan = planStudy(config, inputs.facts);
  const all = new Map(plan.cells.filter((c) => c.kind === 'subset').map((c) => [armTitle(c), arm(c)]));
  if (all.size < 2)
    throw new MendsetError(
      'invalid-argument',
      'Expected at least two combinations of repair, selector, proportion and boundary ratio to choose from.',
    );
  const records = Math.max(...Object.values(inputs.facts.pools).map((p) => p.size));
  const texts = Math.min(...[inputs.prompts?.length, inputs.lastWord?.length].filter((n) => n !== undefined), Number.MAX_SAFE_INTEGER);
  const rungs = schedule(all.size, config.seeds.length, options.budget ?? 0.5, Math.max(LEAST_RECORDS / records, LEAST_TEXTS / texts));

  let alive = [...all.keys()];
  const rounds: TuneResult['rounds'][number][] = [];
  let cells = 0;
  let seconds = 0;
  let last: CellResult[] = [];
  let objective: TuneResult['objective'] = 'ops';
  for (const [i, rung] of rungs.entries()) {
    alive = alive.slice(0, rung.arms);
    const isLast = i === rungs.length - 1;
    const directory = isLast ? options.directory : join(options.directory, 'tune', `round-${i + 1}`);
    const part = isLast ? { config, inputs, plan } : await reduced(config, rung, inputs, openInputs);
    const wanted: StudyPlan = {
      ...part.plan,
      cells: part.plan.cells.filter((c) => c.kind === 'unrepaired' || alive.includes(armTitle(c))),
    };
    const executor = makeExecutor(part.inputs, directory);
    try {
      const { results } = await runPlannedStudy(wanted, executor, { ...options, directory });
      last = results.filter((r) => r.kind === 'subset' && r.status === 'done');
      const spent = results.reduce((sum, r) => sum + (r.costSeconds ?? 0) + (r.evaluationSeconds ?? 0), 0);
      cells += results.length;
      seconds += spent;
      if (last.length === 0)
        throw new MendsetError('internal', `Expected results of round ${i + 1} but all of its cells failed: ${results[0]?.error ?? ''}`);
      if (i === 0 && last.every((r) => r.metrics?.ops == null)) objective = 'toxicity';
      alive = ranked(last, objective).map((r) => r.title);
      rounds.push({ ...rung, best: alive[0] as string, seconds: spent });
    } finally {
      executor.dispose();
    }
  }
  const finalists = ranked(last, objective).map(({ title, ...rest }) => ({ ...(all.get(title) as Arm), ...rest }));
  const first = finalists[0] as (typeof finalists)[number];
  const full = last.reduce((sum, r) => sum + (r.costSeconds ?? 0) + (r.evaluationSeconds ?? 0), 0) / last.length;
  const gridCells = all.size * config.seeds.length;
  const { title, repair, selector, proportion, boundaryRatio } = first;
  const result: TuneResult = {
    objective,
    recommendation: { model, title, repair, selector, proportion, boundaryRatio },
    value: first.mean,
    confidence: chanceOfBest(finalists, objective),
    finalists,
    rounds,
    seconds,
    gridSeconds: full * gridCells,
    cells,
    gridCells,
  };
  await writeFileAtomic(join(options.directory, 'tune.json'), `${JSON.stringify(result, null, 2)}\n`);
  return result;
}

function arm(place: CellPlace): Arm {
  const { model, repair, selector, proportion, boundaryRatio } = place;
  return { model, repair, selector, proportion, boundaryRatio, title: armTitle(place) };
}

function armTitle({ repair, selector, proportion, boundaryRatio }: CellPlace): string {
  return `${repair}, ${selector} at ${formatPercent(proportion)}${boundaryRatio === null ? '' : `, boundary ratio ${boundaryRatio}`}`;
}

/**
 * The most thorough plan within the budget: how many arms each round keeps, and on what share of the data it sees them. The last
 * round is always the whole window on every seed.
 */
export function schedule(arms: number, seeds: number, budget: number, leastFidelity: number): Rung[] {
  const grid = arms * seeds;
  let cheapest = Number.POSITIVE_INFINITY;
  for (const keep of [2, 3, 4, 6]) {
    for (const first of [0.5, 0.25, 0.125]) {
      if (first < leastFidelity) continue;
      const rungs: Rung[] = [];
      let alive = arms;
      for (let fidelity = first; fidelity < 1 && alive > 2; fidelity *= 2) {
        rungs.push({ fidelity, arms: alive, seeds: 1 });
        alive = Math.max(2, Math.ceil(alive / keep));
      }
      rungs.push({ fidelity: 1, arms: alive, seeds });
      const cost = rungs.reduce((sum, r) => sum + r.arms * r.fidelity * r.seeds, 0) / grid;
      cheapest = Math.min(cheapest, cost);
      if (cost <= budget) return rungs;
    }
  }
  throw new MendsetError(
    'invalid-argument',
    `Expected a tuning budget of at least ${Number.isFinite(cheapest) ? cheapest.toFixed(2) : 'the whole grid'} of this grid but received ${budget}; raise --tune-budget, or give the study more data, combinations or seeds.`,
  );
}

/** The study on a part of its window, its evaluation texts and its first seed. */
async function reduced(
  config: StudyConfig,
  rung: Rung,
  inputs: StudyInputs,
  openInputs: (config: StudyConfig) => Promise<StudyInputs>,
): Promise<{ config: StudyConfig; inputs: StudyInputs; plan: StudyPlan }> {
  const part = (n: number, least: number) => Math.min(n, Math.max(least, Math.round(n * rung.fidelity)));
  const sizes = Object.values(inputs.facts.pools).map((p) => p.size);
  const { toxicity, lastWord } = config.evaluation;
  const smaller: StudyConfig = {
    ...config,
    name: `${config.name}, tuning`,
    seeds: config.seeds.slice(0, rung.seeds),
    fullData: false,
    pool: { ...config.pool, window: part(Math.min(...sizes), LEAST_RECORDS) },
    overrides: config.overrides.map(({ window: _, ...o }) => o),
    evaluation: {
      ...config.evaluation,
      samples: 0,
      toxicity: toxicity && { ...toxicity, limit: part(inputs.prompts?.length ?? 0, LEAST_TEXTS) },
      lastWord: lastWord && { ...lastWord, limit: part(inputs.lastWord?.length ?? 0, LEAST_TEXTS) },
    },
  };
  const opened = await openInputs(smaller);
  const { runningText } = opened;
  return {
    config: smaller,
    // the folder of a round holds nothing else, so that shorter texts are never mixed with whole ones
    inputs: { ...opened, runningText: runningText?.slice(0, part(runningText.length, 1)) ?? null },
    plan: planStudy(smaller, opened.facts),
  };
}

interface Ranked {
  readonly title: string;
  readonly mean: number;
  readonly sd: number | null;
  readonly seeds: number;
  readonly costSeconds: number;
}

/** Best first; equal ones by their cost. */
function ranked(results: readonly CellResult[], objective: TuneResult['objective']): Ranked[] {
  const read = (r: CellResult) => (objective === 'ops' ? r.metrics?.ops : r.figures['toxicity.repair']?.value) ?? Number.NaN;
  const titles = [...new Set(results.map(armTitle))];
  return titles
    .map((title): Ranked => {
      const own = results.filter((r) => armTitle(r) === title);
      const values = own.map(read).filter(Number.isFinite);
      const mean = values.reduce((a, b) => a + b, 0) / values.length;
      const sd = values.length < 2 ? null : Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (values.length - 1));
      return { title, mean, sd, seeds: values.length, costSeconds: own.reduce((sum, r) => sum + (r.costSeconds ?? 0), 0) / own.length };
    })
    .filter((r) => Number.isFinite(r.mean))
    .sort((a, b) => (objective === 'ops' ? b.mean - a.mean : a.mean - b.mean) || a.costSeconds - b.costSeconds);
}

const DRAWS = 10_000;

/** Share of draws in which the first is best, each mean drawn with the spread that its seeds leave (pooled over the finalists). */
export function chanceOfBest(
  finalists: readonly Pick<Ranked, 'mean' | 'sd' | 'seeds'>[],
  objective: TuneResult['objective'],
): number | null {
  const known = finalists.filter((f) => f.sd !== null);
  if (known.length === 0 || finalists.length < 2) return null;
  const degrees = known.reduce((sum, f) => sum + f.seeds - 1, 0);
  const pooled = Math.sqrt(known.reduce((sum, f) => sum + (f.seeds - 1) * (f.sd as number) ** 2, 0) / degrees);
  const random = new RandomStream(0, STREAM_IDS.bootstrap);
  const uniform = () => (random.next() + 0.5) / 2 ** 32;
  const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  const sign = objective === 'ops' ? 1 : -1;
  let wins = 0;
  for (let i = 0; i < DRAWS; i++) {
    const drawn = finalists.map((f) => sign * f.mean + (pooled / Math.sqrt(f.seeds)) * normal());
    if (drawn.every((v, k) => k === 0 || v < (drawn[0] as number))) wins++;
  }
  return wins / DRAWS;
}
