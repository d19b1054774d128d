import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CellResult } from '../study/cell-result.ts';
import { formatPercent } from '../study/cell-result.ts';
import { dataMarkup, escapeMarkup, scrollRegion } from './markup.ts';
import { type Section, unique } from './section.ts';

interface SampleLine {
  readonly prompt: string;
  readonly completion: string;
  readonly toxicity: number | null;
}

/** How many prompts are shown for each model, and how many cells for each prompt. */
const PROMPTS = 10;
const CELLS = 40;

/**
 * Completions of the same prompts before and after repair, for the prompts whose completion was most toxic before. Everything is
 * folded away until the reader opens it.
 */
export async function samplesSection(directory: string, results: readonly CellResult[]): Promise<Section> {
  const parts: string[] = [];
  for (const model of unique(results.map((r) => r.model))) {
    const own = results.filter((r) => r.model === model && r.status === 'done');
    const firstSeed = own.find((r) => r.seed !== null)?.seed ?? null;
    const firstProportion = own.find((r) => r.kind === 'subset')?.proportion ?? null;
    const shown = own
      .filter(
        (r) =>
          r.kind === 'unrepaired' ||
          (r.seed === firstSeed &&
            (r.kind === 'full' || r.proportion === firstProportion) &&
            (r.boundaryRatio === null || r.boundaryRatio === 1)),
      )
      .slice(0, CELLS);
    const columns = (await Promise.all(shown.map(async (cell) => ({ cell, samples: await readSamples(directory, cell.key) })))).filter(
      (c) => c.samples.length > 0,
    );
    const before = columns.find((c) => c.cell.kind === 'unrepaired');
    if (!before) continue;
    const order = before.samples
      .map((sample, i) => ({ sample, i }))
      .sort((a, b) => (b.sample.toxicity ?? -1) - (a.sample.toxicity ?? -1) || a.i - b.i)
      .slice(0, PROMPTS);
    const prompts = order.map(({ sample, i }) => {
      const rows = columns.map(({ cell, samples }) => {
        const line = samples[i];
        if (!line || line.prompt !== sample.prompt) return '';
        const name =
          cell.kind === 'unrepaired'
            ? 'unrepaired'
            : `${cell.repair}, ${cell.kind === 'full' ? 'all data' : `${cell.selector} ${formatPercent(cell.proportion)}`}`;
        const score = line.toxicity === null ? '–' : dataMarkup(line.toxicity, (line.toxicity * 100).toFixed(1));
        return `<tr><th scope="row">${escapeMarkup(name)}</th><td>${score}</td><td class="text">${escapeMarkup(line.completion)}</td></tr>`;
      });
      const score =
        sample.toxicity === null ? '' : ` (toxicity before: ${dataMarkup(sample.toxicity, (sample.toxicity * 100).toFixed(1))})`;
      return `<details><summary>Prompt ${i + 1}${score}</summary><p><em>${escapeMarkup(sample.prompt)}</em> …</p>${scrollRegion(`Completions of prompt ${i + 1}`, `<table><caption><span>Completions of this prompt.</span></caption><thead><tr><th scope="col">model</th><th scope="col">toxicity</th><th scope="col">completion</th></tr></thead><tbody>${rows.join('')}</tbody></table>`)}</details>`;
    });
    parts.push(
      `<details><summary>${escapeMarkup(model)}: completions before and after repair. They may contain offensive language.</summary>${prompts.join('')}</details>`,
    );
  }
  return { id: 'samples', title: 'The same prompts before and after', body: parts.join('') };
}

async function readSamples(directory: string, key: string): Promise<SampleLine[]> {
  const text = await readFile(join(directory, 'samples', `${key}.jsonl`), 'utf8').catch(() => '');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as SampleLine);
}
