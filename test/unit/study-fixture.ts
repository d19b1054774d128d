import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CellResult } from '../../src/study/cell-result.ts';
import type { PoolMap } from '../../src/study/pool-map.ts';

/** A made-up study of 5 selectors and 5 repairs with plausible numbers; `seeds` data seeds. */
export function syntheticResults(seeds: readonly number[] = [43], proportions: readonly number[] = [0.5]): CellResult[] {
  const base = { toxicity: 0.4822, wiki: 17.4, lambada: 28.1 };
  const repairs = [
    { name: 'dapt', kl: false, toxicity: 0.3, wiki: 22.1, lambada: 37 },
    { name: 'dapt+kl', kl: true, toxicity: 0.09, wiki: 20, lambada: 33.4 },
    { name: 'dpo', kl: false, toxicity: 0.2, wiki: 21, lambada: 35.2 },
    { name: 'irepair', kl: false, toxicity: 0.1, wiki: 18.2, lambada: 29.2 },
    { name: 'irepair+kl', kl: true, toxicity: 0.05, wiki: 18.1, lambada: 30.1 },
  ];
  const selectors = [
    { name: 'random', seconds: 0.0004, loss: 0.06 },
    { name: 'k-center', seconds: 0.31, loss: 0.05 },
    { name: 'grand', seconds: 4.2, loss: 0.045 },
    { name: 'ccs', seconds: 1.7, loss: 0.03 },
    { name: 'saps', seconds: 0.42, loss: 0.01 },
  ];
  const results: CellResult[] = [];
  const cell = (
    place: Partial<CellResult>,
    f: { toxicity: number; wiki: number; lambada: number },
    selection: number | null,
    seconds: number | null,
  ): CellResult => ({
    schema: 1,
    study: { name: 'synthetic', demo: true },
    key: `key-${results.length}`,
    status: 'done',
    kind: 'subset',
    model: 'demo',
    modelHash: 'ab'.repeat(32),
    selector: 'none',
    repair: 'none',
    kl: false,
    proportion: 0,
    boundaryRatio: null,
    seed: null,
    poolHash: place.seed == null ? null : 'cd'.repeat(32),
    window: place.seed == null ? null : 400,
    trainingSeed: place.seed == null ? null : 202,
    selection:
      selection === null
        ? null
        : {
            method: place.selector ?? '',
            preset: 'principled',
            options: {},
            budget: 200,
            count: 200,
            indicesHash: 'ef'.repeat(32),
            seconds: selection,
            reused: place.repair !== 'dapt',
            phases: [{ phase: 'choose', seconds: selection }],
            featureFlops: 0,
            warnings: [],
          },
    repairRun:
      seconds === null
        ? null
        : {
            method: place.repair ?? '',
            kl: place.kl ?? false,
            options: {},
            steps: 50,
            examples: 200,
            seconds,
            phases: [{ phase: 'steps', seconds }],
            flops: 3.2e12,
            flopsPaper: 3e12,
            blockCounts: place.repair?.startsWith('irepair') ? [3, 17, 25, 5] : null,
            sensitivities: place.repair?.startsWith('irepair') ? [1.5, 2.25, 3.125, 0.5] : null,
            bestValidationLoss: 2.5,
            stop: 'epochs',
            warnings: [],
          },
    figures: {
      'toxicity.repair': {
        value: f.toxicity,
        interval: [f.toxicity * 0.8, f.toxicity * 1.2],
        convention: 'greedy, 20 new tokens, mean of the largest label',
        counts: { prompts: 100 },
      },
      'wikitext2.tokenPpl': { value: f.wiki, convention: 'window 256, stride 256, exact weighting', counts: { tokens: 4000 } },
      'lambada.runningPpl': { value: f.lambada, convention: 'window 256, stride 256, exact weighting', counts: { tokens: 2000 } },
      'lambada.targetAcc': { value: 0.25 + f.toxicity / 50, convention: 'last word' },
    },
    scorer: { name: 'builtin', version: '1', weightsHash: '12'.repeat(32) },
    metrics: null,
    costSeconds: seconds === null ? null : seconds + (selection ?? 0),
    evaluationSeconds: 2.5,
    peakMemoryBytes: 3e8,
    machine: {
      mendset: '0.1.0',
      node: 'v20.20.2',
      platform: 'linux-x64',
      cpu: 'Test CPU',
      isa: 'avx2',
      backend: 'cpu',
      device: 'cpu',
      threads: 2,
    },
    finishedAt: '2026-01-01T00:00:00.000Z',
    ...place,
  });
  results.push(cell({ kind: 'unrepaired' }, base, null, null));
  for (const seed of seeds) {
    const noise = 1 + ((seed * 7919) % 13) / 200;
    for (const r of repairs) {
      const place = { repair: r.name, kl: r.kl, seed };
      const metrics = (ops: number, rps: number, res: number) => ({
        version: 'proposal-1',
        weights: [0.5, 0.25, 0.25],
        ops: ops / noise,
        rps,
        res,
        reasons: {},
      });
      results.push(
        cell(
          { ...place, kind: 'full', selector: 'full', proportion: 1, metrics: metrics(1 - r.toxicity, 1, 1) },
          { ...r, toxicity: r.toxicity * noise },
          null,
          20,
        ),
      );
      for (const s of selectors) {
        for (const proportion of proportions) {
          const toxicity = (r.toxicity + s.loss / proportion / 2) * noise;
          results.push(
            cell(
              {
                ...place,
                kind: 'subset',
                selector: s.name,
                proportion,
                boundaryRatio: s.name === 'saps' ? 1 : null,
                metrics: metrics(1 - toxicity, 0.95 - s.loss, 1.9 - s.seconds / 10),
              },
              { toxicity, wiki: r.wiki - 0.2, lambada: r.lambada - 0.3 },
              s.seconds,
              20 * proportion,
            ),
          );
        }
      }
    }
  }
  return results;
}

/** 40 records in 4 clusters by turns; the distance from the centre grows with the index. */
const SYNTHETIC_MAP: PoolMap = {
  schema: 1,
  model: 'demo',
  seed: 43,
  records: 40,
  points: Array.from({ length: 40 }, (_, i): readonly [number, number] => [Math.cos(i) * i, Math.sin(i * 1.7) * i]),
  explained: [0.4, 0.2],
  clusters: Array.from({ length: 40 }, (_, i) => i % 4),
  distances: Array.from({ length: 40 }, (_, i) => (i + 1) / 40),
  chosen: [
    { selector: 'random', proportion: 0.5, boundaryRatio: null, indices: Array.from({ length: 20 }, (_, i) => i) },
    { selector: 'saps', proportion: 0.5, boundaryRatio: 1, indices: Array.from({ length: 20 }, (_, i) => 39 - i) },
  ],
};

export async function writeSyntheticStudy(directory: string, results: readonly CellResult[]): Promise<void> {
  await mkdir(join(directory, 'maps'), { recursive: true });
  await writeFile(join(directory, 'maps', 'demo.json'), JSON.stringify(SYNTHETIC_MAP));
  await mkdir(join(directory, 'samples'), { recursive: true });
  await writeFile(join(directory, 'results.jsonl'), results.map((r) => `${JSON.stringify(r)}\n`).join(''));
  for (const r of results) {
    if (r.status !== 'done') continue;
    const lines = Array.from({ length: 12 }, (_, i) => ({
      prompt: `The <b>person</b> ${i} said`,
      completion: ` something after ${r.repair}`,
      toxicity: Math.min(1, (r.figures['toxicity.repair']?.value ?? 0) + i / 100),
    }));
    await writeFile(join(directory, 'samples', `${r.key}.jsonl`), lines.map((l) => `${JSON.stringify(l)}\n`).join(''));
  }
}
