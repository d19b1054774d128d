import { type CellResult, formatPercent } from '../study/cell-result.ts';
import { answer } from './answers.ts';
import { dataMarkup, escapeMarkup, measureMarkup, scrollRegion, sentenceMarkup } from './markup.ts';
import { measuresOf } from './measures.ts';
import { type Section, unique } from './section.ts';
import { summarise } from './summary.ts';

/** Sentences about curves in the summary; all of them stand in their own sections. */
const MOST_SWEEPS = 10;

export function summarySection(results: readonly CellResult[]): Section {
  const models = unique(results.map((r) => r.model));
  const sweeps = models.flatMap((model) => [...answer(results, 3, model), ...answer(results, 4, model)]);
  const items = [...summarise(results), ...sweeps.slice(0, MOST_SWEEPS)].map((s) => `<li>${sentenceMarkup(s)}</li>`);
  if (sweeps.length > MOST_SWEEPS) items.push(`<li>${sweeps.length - MOST_SWEEPS} more like these stand beside the curves.</li>`);
  return {
    id: 'summary',
    title: 'In short',
    body: items.length === 0 ? '<p>No cell has finished yet.</p>' : `<ul class="lead">${items.join('')}</ul>`,
  };
}

export function failureSection(results: readonly CellResult[]): Section {
  const failed = results.filter((c) => c.status === 'failed');
  const rows = failed.map(
    (c) =>
      `<tr><th scope="row">${escapeMarkup([c.model, c.repair, c.selector, formatPercent(c.proportion), c.seed ?? ''].join(', '))}</th><td class="text">${escapeMarkup(c.error ?? '')}</td></tr>`,
  );
  const table = `<table><caption><span>Cells that failed; running the study again tries them again.</span></caption><thead><tr><th scope="col">cell</th><th scope="col">error</th></tr></thead><tbody>${rows.join('')}</tbody></table>`;
  return { id: 'failed', title: 'Failed cells', body: failed.length === 0 ? '' : scrollRegion('Failed cells', table) };
}

/** What each number means and how it was obtained. */
export function methodSection(results: readonly CellResult[]): Section {
  const done = results.filter((c) => c.status === 'done');
  const measures = measuresOf(results);
  const items = measures.map((m) => {
    const conventions = unique(done.flatMap((c) => c.figures[m.id]?.convention ?? []));
    const how = conventions.map((c) => `<br><small style="white-space:normal">Convention: ${escapeMarkup(c)}</small>`).join('');
    return `<dt>${escapeMarkup(m.title)}${m.unit ? ` <small>${escapeMarkup(m.unit)}</small>` : ''}</dt><dd>${escapeMarkup(m.explanation)}${how}</dd>`;
  });
  const metric = done.find((c) => c.metrics)?.metrics;
  if (metric)
    items.push(
      `<dt>Metric version</dt><dd>${escapeMarkup(metric.version)}, weights ${escapeMarkup(metric.weights.join(', '))} for toxicity, running text and last-word text. The published formulas are not public; these are mendset’s own.</dd>`,
    );
  items.push(
    '<dt>Small numbers beside a value</dt><dd>With one seed: the 95 % bootstrap interval over prompts, where the figure has one. With several seeds: the standard deviation over seeds.</dd>',
  );
  return { id: 'method', title: 'What the numbers mean', body: `<dl>${items.join('')}</dl>` };
}

/** Versions, machine, seeds, hashes. */
export function provenanceSection(results: readonly CellResult[]): Section {
  const list = (values: readonly unknown[]) => escapeMarkup(unique(values.map(String)).join(', '));
  const facts: [string, string][] = [
    ['mendset', list(results.map((c) => c.machine.mendset))],
    ['Node', list(results.map((c) => `${c.machine.node} on ${c.machine.platform}`))],
    ['Processor', list(results.map((c) => c.machine.cpu))],
    [
      'Instruction set, backend',
      list(results.map((c) => `${c.machine.isa}, ${c.machine.backend} (${c.machine.device}), ${c.machine.threads} threads`)),
    ],
    ['Models', list(results.map((c) => `${c.model} (${c.modelHash.slice(0, 12)})`))],
    ['Data seeds', list(results.filter((c) => c.seed !== null).map((c) => c.seed))],
    ['Training seeds', list(results.filter((c) => c.trainingSeed !== null).map((c) => c.trainingSeed))],
    [
      'Pools',
      list(
        results
          .filter((c) => c.poolHash)
          .map((c) => `seed ${c.seed}: ${c.window === null ? '' : `${c.window} records, `}${c.poolHash?.slice(0, 12)}`),
      ),
    ],
    [
      'Toxicity scorer',
      list(results.filter((c) => c.scorer).map((c) => `${c.scorer?.name} ${c.scorer?.version} (${c.scorer?.weightsHash.slice(0, 12)})`)),
    ],
    ['Largest memory', `${(Math.max(0, ...results.map((c) => c.peakMemoryBytes)) / 2 ** 20).toFixed(0)} MiB`],
    [
      'Computed',
      list([
        results.map((c) => c.finishedAt).sort()[0] ?? '',
        results
          .map((c) => c.finishedAt)
          .sort()
          .at(-1) ?? '',
      ]),
    ],
  ];
  const rows = facts.filter(([, v]) => v !== '').map(([k, v]) => `<tr><th scope="row">${k}</th><td class="text">${v}</td></tr>`);
  const warnings = unique(results.flatMap((c) => [...(c.selection?.warnings ?? []), ...(c.repairRun?.warnings ?? [])]));
  const notes =
    warnings.length === 0
      ? ''
      : `<details><summary>Warnings of the runs (${warnings.length})</summary><ul>${warnings.map((w) => `<li>${escapeMarkup(w)}</li>`).join('')}</ul></details>`;
  return {
    id: 'provenance',
    title: 'Where the numbers come from',
    body: `${scrollRegion('Provenance', `<table><caption><span>Versions, machine, seeds and hashes recorded with the results.</span></caption><tbody>${rows.join('')}</tbody></table>`)}${notes}`,
  };
}

export function allCellsSection(results: readonly CellResult[]): Section {
  const measures = measuresOf(results);
  const head = measures.map((m) => `<th scope="col">${escapeMarkup(m.title)}</th>`).join('');
  const rows = results
    .filter((c) => c.status === 'done')
    .map(
      (c) =>
        `<tr><th scope="row">${escapeMarkup(c.model)}</th><td>${escapeMarkup(c.repair)}</td><td>${escapeMarkup(c.selector)}</td><td>${dataMarkup(c.proportion, formatPercent(c.proportion))}</td><td>${c.boundaryRatio ?? '–'}</td><td>${c.seed ?? '–'}</td>${measures.map((m) => `<td>${measureMarkup(m, m.read(c))}</td>`).join('')}</tr>`,
    );
  const table = `<table><caption><span>Every finished cell, one row each, as in results.jsonl and cells.csv.</span></caption><thead><tr><th scope="col">model</th><th scope="col">repair</th><th scope="col">selector</th><th scope="col">share</th><th scope="col">boundary</th><th scope="col">seed</th>${head}</tr></thead><tbody>${rows.join('')}</tbody></table>`;
  return {
    id: 'cells',
    title: 'All cells',
    body: rows.length === 0 ? '' : `<details><summary>Show ${rows.length} cells</summary>${scrollRegion('All cells', table)}</details>`,
  };
}
