import { join } from 'node:path';
import { MendsetError } from '../core/errors.ts';
import { writeFileAtomic } from '../core/files.ts';
import { RandomStream, STREAM_IDS } from '../core/random.ts';
import { type CellPlace, type CellResult, formatPercent } from './cell-result.ts';
import type { StudyConfig } from './config.ts';
import type { StudyExecutor } from './executor.ts';
import { type Objective, objectiveValue } from './objective.ts';
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
  /** Data seeds that the arms have seen after it */
  readonly seeds: number;
  /** What it adds, in cells of the whole window */
  readonly work: number;
}

export interface TuneResult {
  readonly objective: Objective;
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
  /** The same for the whole grid, from the mean cell of the search on the whole window */
  readonly gridSeconds: number;
  readonly cells: number;
  readonly gridCells: number;
  /** Records and texts of the search as a share of the grid's, which no other load on the machine changes */
  readonly workShare: number;
}

export interface TuneOptions extends RunStudyOptions {
  /** Most work, as a share of the whole grid's; default 0.5 */
  readonly budget?: number | undefined;
}

/** Fewer texts and records than this tell nothing. */
const LEAST_RECORDS = 32;
const LEAST_TEXTS = 16;

/**
 * Finds what to use without computing the whole grid, by successive halving. In a first round all combinations see a part of the
 * window; there only those of the same repair and proportion are compared, because fewer steps favour the larger ones. Those that are
 * left see the whole window on one data seed, the better of them on a second, and so on; the finalists have seen every seed.
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
  if (!config.evaluation.toxicity && !config.evaluation.rtp)
    throw new MendsetError(
      'invalid-argument',
      'Expected "toxicity" or "rtp" under "evaluation" to tune by, but the study measures neither; add one of them.',
    );
  const inputs = await openInputs(config);
  const plan = planStudy(config, inputs.facts);
  // repairing on everything is a choice too, where the study asks for it
  const isArm = (c: CellPlace) => c.kind === 'subset' || (c.kind === 'full' && config.proportions.includes(1));
  const all = new Map(plan.cells.filter(isArm).map((c) => [armTitle(c), arm(c)]));
  if (all.size < 2)
    throw new MendsetError(
      'invalid-argument',
      'Expected at least two combinations of repair, selector, proportion and boundary ratio to choose from.',
    );
  const group = (title: string) => {
    const { repair, proportion } = all.get(title) as Arm;
    return `${repair} ${proportion}`;
  };
  const groups = countBy([...all.keys()].map(group));
  const records = Math.max(...Object.values(inputs.facts.pools).map((p) => p.size));
  const texts = Math.min(
    ...[inputs.prompts?.length, inputs.rtpPrompts?.length, inputs.lastWord?.length].filter((n) => n !== undefined),
    Number.MAX_SAFE_INTEGER,
  );
  const least = Math.max(LEAST_RECORDS / records, LEAST_TEXTS / texts);
  const rungs = schedule([...groups.values()], config.seeds.length, options.budget ?? 0.5, least);

  let alive = [...all.keys()];
  const rounds: TuneResult['rounds'][number][] = [];
  const paid = new Set<string>();
  let seconds = 0;
  let whole: CellResult[] = [];
  let objective: Objective = 'ops';
  for (const [i, rung] of rungs.entries()) {
    const isWhole = rung.fidelity === 1;
    const directory = isWhole ? options.directory : join(options.directory, 'tune', `round-${i + 1}`);
    const part = isWhole ? { inputs, plan } : await reduced(config, rung, inputs, openInputs);
    const seeds = config.seeds.slice(0, rung.seeds);
    const wanted: StudyPlan = {
      ...part.plan,
      cells: part.plan.cells.filter(
        (c) => c.kind === 'unrepaired' || (alive.includes(armTitle(c)) && seeds.includes(c.seed as number) && isArm(c)),
      ),
    };
    const executor = makeExecutor(part.inputs, directory);
    try {
      const { results } = await runPlannedStudy(wanted, executor, { ...options, directory });
      const done = results.filter((r) => isArm(r) && r.status === 'done');
      if (done.length === 0)
        throw new MendsetError('internal', `Expected results of round ${i + 1} but all of its cells failed: ${results[0]?.error ?? ''}`);
      // a cell that a later round asks for again was paid for once
      const spent = results.filter((r) => !paid.has(r.key)).reduce((sum, r) => sum + secondsOf(r), 0);
      for (const r of results) paid.add(r.key);
      seconds += spent;
      if (i === 0 && done.every((r) => r.metrics?.ops == null)) objective = 'toxicity';
      const order = ranked(done, objective).map((r) => r.title);
      rounds.push({ ...rung, best: order[0] as string, seconds: spent });
      const next = rungs[i + 1];
      if (next) alive = isWhole ? order.slice(0, next.arms) : bestOfGroups(order, group, rung.keep);
      else whole = done;
    } finally {
      executor.dispose();
    }
  }
  const finalists = ranked(whole, objective).map(({ title, ...rest }) => ({ ...(all.get(title) as Arm), ...rest }));
  const first = finalists[0] as (typeof finalists)[number];
  const mean = whole.reduce((sum, r) => sum + secondsOf(r), 0) / whole.length;
  const gridCells = all.size * config.seeds.length;
  const { title, repair, selector, proportion, boundaryRatio } = first;
  const result: TuneResult = {
    objective,
    recommendation: { model, title, repair, selector, proportion, boundaryRatio },
    value: first.mean,
    confidence: chanceOfBest(finalists, objective),
    finalists,
    rounds: rounds.map(({ fidelity, arms, seeds, work, best, seconds: spent }) => ({ fidelity, arms, seeds, work, best, seconds: spent })),
    seconds,
    gridSeconds: mean * gridCells,
    cells: paid.size,
    gridCells,
    workShare: rungs.reduce((sum, r) => sum + r.work, 0) / gridCells,
  };
  await writeFileAtomic(join(options.directory, 'tune.json'), `${JSON.stringify(result, null, 2)}\n`);
  return result;
}

function secondsOf(cell: CellResult): number {
  return (cell.costSeconds ?? 0) + (cell.evaluationSeconds ?? 0);
}

function countBy(names: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

/** The first 1/keep of each group, in their order. */
function bestOfGroups(order: readonly string[], group: (title: string) => string, keep: number): string[] {
  const sizes = countBy(order.map(group));
  const taken = new Map<string, number>();
  return order.filter((title) => {
    const name = group(title);
    const rank = taken.get(name) ?? 0;
    taken.set(name, rank + 1);
    return rank < Math.ceil((sizes.get(name) as number) / keep);
  });
}

function arm(place: CellPlace): Arm {
  const { model, repair, selector, proportion, boundaryRatio } = place;
  return { model, repair, selector, proportion, boundaryRatio, title: armTitle(place) };
}

function armTitle({ kind, repair, selector, proportion, boundaryRatio }: CellPlace): string {
  if (kind === 'full') return `${repair}, all data`;
  return `${repair}, ${selector} at ${formatPercent(proportion)}${boundaryRatio === null ? '' : `, boundary ratio ${boundaryRatio}`}`;
}

/** A round with how it thins out what it saw: to 1/keep. */
export interface PlannedRung extends Rung {
  readonly keep: number;
}

/**
 * The most thorough plan within the budget: whether and on what share of the data a first round sees all arms, and how many go on
 * after each. `groups` are the numbers of arms that the first round compares with each other. The last round has every seed.
 */
export function schedule(groups: readonly number[], seeds: number, budget: number, leastFidelity: number): PlannedRung[] {
  const arms = groups.reduce((a, b) => a + b, 0);
  const workOf = (rungs: readonly Rung[]) => rungs.reduce((sum, r) => sum + r.work, 0) / (arms * seeds);
  const plans = [1, 0.5, 0.25, 0.125]
    .filter((first) => first === 1 || first >= leastFidelity)
    .flatMap((first) => [2, 3, 4, 6].map((keep) => planOf(groups, seeds, first, keep)))
    // a search as large as the grid is none
    .filter((rungs) => workOf(rungs) < 1)
    .sort((a, b) => workOf(b) - workOf(a));
  const found = plans.find((rungs) => workOf(rungs) <= budget);
  if (found) return found;
  const cheapest = plans.at(-1);
  throw new MendsetError(
    'invalid-argument',
    `Expected a tuning budget of at least ${cheapest ? (Math.ceil(100 * workOf(cheapest)) / 100).toFixed(2) : 'the whole grid'} of this grid but received ${budget}; raise --tune-budget, or give the study more data, combinations or seeds.`,
  );
}

function planOf(groups: readonly number[], seeds: number, first: number, keep: number): PlannedRung[] {
  const rungs: PlannedRung[] = [];
  let alive = groups.reduce((a, b) => a + b, 0);
  if (first < 1) {
    rungs.push({ fidelity: first, arms: alive, seeds: 1, work: alive * first, keep });
    alive = Math.max(
      2,
      groups.reduce((sum, n) => sum + Math.ceil(n / keep), 0),
    );
  }
  for (let seen = 0; seen < seeds; ) {
    // one seed, two, four ...; two arms alone are finalists
    const next = alive <= 2 ? seeds : Math.min(seeds, Math.max(1, 2 * seen));
    rungs.push({ fidelity: 1, arms: alive, seeds: next, work: alive * (next - seen), keep });
    seen = next;
    alive = Math.max(2, Math.ceil(alive / keep));
  }
  return rungs;
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
  const { toxicity, rtp, lastWord } = config.evaluation;
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
      ...(rtp ? { rtp: { ...rtp, limit: part(inputs.rtpPrompts?.length ?? 0, LEAST_TEXTS) } } : {}),
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
function ranked(results: readonly CellResult[], objective: Objective): Ranked[] {
  const read = (r: CellResult) => objectiveValue(r, objective) ?? Number.NaN;
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
export function chanceOfBest(finalists: readonly Pick<Ranked, 'mean' | 'sd' | 'seeds'>[], objective: Objective): number | null {
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
