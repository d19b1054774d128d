import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MendsetError } from '../core/errors.ts';
import { type CellResult, formatPercent } from '../study/cell-result.ts';
import { objectiveValue } from '../study/objective.ts';
import type { Arm, TuneResult } from '../study/tune.ts';
import { groupCells, stat } from './groups.ts';
import { dataMarkup, escapeMarkup, scrollRegion, sentenceMarkup } from './markup.ts';
import { secondsText } from './seconds-text.ts';
import type { Section } from './section.ts';
import type { Sentence, SummaryPart } from './summary.ts';

/** What `mendset study --tune` left in the folder; null where it was not used. */
export async function readTuneResult(directory: string): Promise<TuneResult | null> {
  const path = join(directory, 'tune.json');
  const text = await readFile(path, 'utf8').catch(() => null);
  if (text === null) return null;
  try {
    const found = JSON.parse(text) as TuneResult;
    if (Array.isArray(found.finalists) && Array.isArray(found.rounds) && typeof found.workShare === 'number') return found;
  } catch {
    // said below
  }
  throw new MendsetError(
    'corrupt',
    `Expected the recommendation that \`mendset study --tune\` writes in '${path}' but it is something else; delete it, or tune again (finished cells are kept).`,
  );
}

/** What to use, with what confidence, and what it cost to find out. */
export function tuneSection(found: TuneResult | null, results: readonly CellResult[]): Section {
  if (!found) return { id: 'tune', title: '', body: '' };
  const name = objectiveName(found);
  const finalists = found.finalists.map((f) => {
    const cells = [
      dataMarkup(f.mean, f.mean.toFixed(4)),
      f.sd === null ? '–' : dataMarkup(f.sd, f.sd.toFixed(4)),
      String(f.seeds),
      dataMarkup(f.costSeconds, secondsText(f.costSeconds)),
    ];
    return `<tr><th scope="row">${escapeMarkup(f.title)}</th>${cells.map((c) => `<td>${c}</td>`).join('')}</tr>`;
  });
  const rounds = found.rounds.map((r, i) => {
    const cells = [
      `${r.arms}`,
      dataMarkup(r.fidelity, formatPercent(r.fidelity)),
      `${r.seeds}`,
      dataMarkup(r.work, String(Number(r.work.toFixed(2)))),
      dataMarkup(r.seconds, secondsText(r.seconds)),
    ];
    return `<tr><th scope="row">${i + 1}</th>${cells.map((c) => `<td>${c}</td>`).join('')}<td class="text">${escapeMarkup(r.best)}</td></tr>`;
  });
  const table = (label: string, caption: string, head: readonly string[], rows: readonly string[]) =>
    scrollRegion(
      label,
      `<table><caption><span>${caption}</span></caption><thead><tr>${head.map((h) => `<th scope="col"${h === 'best' ? ' class="text"' : ''}>${h}</th>`).join('')}</tr></thead><tbody>${rows.join('')}</tbody></table>`,
    );
  return {
    id: 'tune',
    title: `What to use: ${found.recommendation.model}`,
    body: [
      `<p class="answer">${tuneSentences(found, results).map(sentenceMarkup).join(' ')}</p>`,
      table(
        'Finalists of the search',
        'The finalists, seen on the whole window and every data seed, the best first.',
        ['combination', name, 'sd over seeds', 'seeds', 'selection and repair'],
        finalists,
      ),
      table(
        'Rounds of the search',
        'The rounds of successive halving. A round on a part of the window compares only combinations of the same repair and share; work is counted in cells of the whole window.',
        ['round', 'combinations', 'of window and texts', 'seeds', 'work', 'time', 'best'],
        rounds,
      ),
    ].join(''),
  };
}

/** The recommendation in words; where the folder holds the whole grid too, how it compares. */
export function tuneSentences(found: TuneResult, results: readonly CellResult[]): Sentence[] {
  const { confidence, workShare, cells, gridCells } = found;
  const percent = (share: number): SummaryPart => ({ value: share, text: `${(100 * share).toFixed(0)} %` });
  const sentences: Sentence[] = [
    [`Use ${found.recommendation.title}: ${objectiveName(found)} `, { value: found.value, text: found.value.toFixed(4) }, '.'],
    confidence === null
      ? ['One data seed cannot tell how sure that is.']
      : [
          'By the spread over seeds it is the best of the ',
          String(found.finalists.length),
          ' finalists with ',
          percent(confidence),
          ' confidence.',
        ],
    [`Finding out took ${cells} cells, most of them small, `, percent(workShare), ` of the work of all ${gridCells}.`],
  ];
  const grid = rankInGrid(found, results);
  if (grid)
    sentences.push([
      `The folder holds the whole grid too: there it is number ${grid.rank} of ${grid.of}`,
      ...(grid.rank === 1 ? [] : [`, behind ${grid.best} with `, { value: grid.value, text: grid.value.toFixed(4) }]),
      '.',
    ]);
  return sentences;
}

function objectiveName({ objective }: TuneResult): string {
  return objective === 'ops' ? 'OPS' : 'toxicity';
}

/** Place of the recommendation among all combinations, when every one was computed on every seed. */
function rankInGrid(
  { recommendation, objective, gridCells }: TuneResult,
  results: readonly CellResult[],
): { rank: number; of: number; best: string; value: number } | null {
  const groups = groupCells(results).filter((g) => g.model === recommendation.model && g.kind !== 'unrepaired');
  const isArm = (g: Pick<Arm, 'selector'>) => g.selector !== 'full' || recommendation.selector === 'full';
  const arms = groups.filter(isArm);
  if (arms.reduce((sum, g) => sum + g.cells.length, 0) !== gridCells) return null;
  const ranked = arms
    .map((g) => ({
      g,
      value: stat(g.cells.flatMap((c) => objectiveValue(c, objective) ?? []))?.mean,
    }))
    .filter((r): r is { g: (typeof arms)[number]; value: number } => r.value !== undefined)
    .sort((a, b) => (objective === 'ops' ? b.value - a.value : a.value - b.value));
  const rank = ranked.findIndex(({ g }) =>
    (['repair', 'selector', 'proportion', 'boundaryRatio'] as const).every((key) => g[key] === recommendation[key]),
  );
  const first = ranked[0];
  if (rank < 0 || !first) return null;
  const { repair, selector, proportion, boundaryRatio } = first.g;
  const best = `${repair}, ${selector} at ${formatPercent(proportion)}${boundaryRatio === null ? '' : `, boundary ratio ${boundaryRatio}`}`;
  return { rank: rank + 1, of: ranked.length, best, value: first.value };
}
