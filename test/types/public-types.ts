// What the public types promise. Nothing here runs: `npm run typecheck` and public-types.test.ts compile it, and each
// `@ts-expect-error` fails when the line below it compiles.
import {
  type CellResult,
  dapt,
  type ErrorCode,
  grand,
  irepair,
  kCenter,
  type LanguageModel,
  type Matrix,
  MendsetError,
  type Pool,
  type RepairData,
  random,
  repair,
  type Selection,
  type Selector,
  saps,
  select,
  selectIndices,
  type ToxicityScorer,
} from '../../src/index.ts';

declare const embeddings: Matrix;
declare const norms: Float64Array;
declare const model: LanguageModel;
declare const pool: Pool;
declare const data: RepairData;

export async function aSelectorSaysWhatItNeeds(): Promise<void> {
  const byDistance: Selector<'embeddings'> = kCenter();
  const result: Selection = await byDistance.select({ n: 10, budget: 5, seed: 1, features: { embeddings } });
  const { indices }: { indices: Int32Array } = result;
  await selectIndices(saps(), { n: indices.length, budget: { fraction: 0.5 }, features: { embeddings } });
  // @ts-expect-error: embeddings are missing
  await byDistance.select({ n: 10, budget: 5, seed: 1, features: {} });
  // @ts-expect-error: so are they here
  await selectIndices(saps(), { n: 10, budget: { fraction: 0.5 }, features: {} });
  // @ts-expect-error: gradient norms are no embeddings
  await byDistance.select({ n: 10, budget: 5, seed: 1, features: { gradientNorms: norms } });
  // @ts-expect-error: a vector is no matrix
  await byDistance.select({ n: 10, budget: 5, seed: 1, features: { embeddings: norms } });
  // @ts-expect-error: a selector that needs embeddings is none that needs nothing
  const undemanding: Selector = byDistance;
  await undemanding.select({ n: 10, budget: 5, seed: 1, features: {} });
  await selectIndices(random(), { n: 10, budget: { count: 3 }, features: {} });
}

export async function optionsAreClosedSets(): Promise<void> {
  await select(pool, saps({ boundaryRatio: 0.5 }), { budget: { count: 3 }, model, signal: AbortSignal.timeout(1000) });
  // @ts-expect-error: a budget is a fraction or a count
  await select(pool, grand(), { budget: 0.5, model });
  // @ts-expect-error: not a preset
  kCenter({ preset: 'papers' });
  // @ts-expect-error: KL is a term with options, not a switch
  dapt({ kl: true });
  // @ts-expect-error: not a slice
  irepair({ slice: 'sensitive' });
  const { blockCounts, keptStep } = await repair(model, data, irepair({ kl: { weight: 1 } }), {
    onProgress: ({ done, total }) => done / total,
  });
  const counts: readonly number[] = blockCounts;
  const step: number = keptStep;
  // @ts-expect-error: results are not to be changed
  counts[step] = 0;
}

export function errorsHaveCodes(error: unknown): ErrorCode | null {
  if (!(error instanceof MendsetError)) return null;
  // @ts-expect-error: the set of codes is closed
  if (error.code === 'oops') return null;
  return error.code;
}

/** A scorer of the user's own: null where a text could not be scored. */
export const scorer: ToxicityScorer = {
  identity: { name: 'mine', version: '1', weightsHash: 'abc', labels: ['toxicity'], activation: 'sigmoid' },
  score: async (texts) => texts.map((text) => (text === '' ? null : { toxicity: 0.5 })),
};

export function figuresMayBeAbsent(cell: CellResult): number {
  // @ts-expect-error: a figure that was not measured is undefined
  const { value } = cell.figures['toxicity.repair'];
  return value;
}
