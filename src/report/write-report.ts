import { join } from 'node:path';
import { MendsetError } from '../core/errors.ts';
import { ensureWritableDirectory, pathKind, writeFileAtomic } from '../core/files.ts';
import { readResults } from '../study/results-file.ts';
import { blockSection } from './block-section.ts';
import { costSection, timeSection } from './cost-section.ts';
import { requireComparable } from './groups.ts';
import { htmlPage } from './html-page.ts';
import { matrixSections } from './matrix-section.ts';
import { poolMapSection } from './pool-map-section.ts';
import { allCellsSection, failureSection, methodSection, provenanceSection, summarySection } from './provenance-sections.ts';
import { samplesSection } from './samples-section.ts';
import { sweepSections } from './sweep-section.ts';
import { cellsCsv, groupsCsv, textReport } from './text-report.ts';
import { readTuneResult, tuneSection } from './tune-section.ts';
import { weightsSection } from './weights-section.ts';

export interface ReportFiles {
  readonly html: string;
  readonly text: string;
  readonly csv: readonly string[];
  /** Cells read, and how many of them failed */
  readonly cells: number;
  readonly failed: number;
}

/**
 * Reads the results of a study folder and writes report.html, report.txt, cells.csv and groups.csv into it (or into `out`). Needs no
 * native engine. Rejects with `not-found` without results, `corrupt` for a broken line, and `invalid-data` when the results were
 * scored by different scorers.
 *
 * @example
 * const { html } = await writeReport('quickstart-out');
 */
export async function writeReport(directory: string, options: { readonly out?: string } = {}): Promise<ReportFiles> {
  if ((await pathKind(directory)) !== 'folder')
    throw new MendsetError('not-found', `Expected the folder of a study at '${directory}' but there is none; run \`mendset study\` first.`);
  const results = await readResults(directory);
  if (results.length === 0)
    throw new MendsetError(
      'not-found',
      `Expected results.jsonl with at least one cell in '${directory}' but found none; run \`mendset study\` first.`,
    );
  requireComparable(results);
  const tune = await readTuneResult(directory);
  const sections = [
    summarySection(results),
    tuneSection(tune, results),
    ...matrixSections(results),
    costSection(results),
    weightsSection(results),
    timeSection(results),
    ...sweepSections(results),
    await poolMapSection(directory, results),
    blockSection(results),
    await samplesSection(directory, results),
    methodSection(results),
    provenanceSection(results),
    allCellsSection(results),
    failureSection(results),
  ];
  const out = options.out ?? directory;
  const files = {
    html: join(out, 'report.html'),
    text: join(out, 'report.txt'),
    csv: [join(out, 'cells.csv'), join(out, 'groups.csv')] as const,
  };
  await ensureWritableDirectory(out);
  await writeFileAtomic(files.html, htmlPage(results, sections));
  await writeFileAtomic(files.text, textReport(results, tune));
  await writeFileAtomic(files.csv[0], cellsCsv(results));
  await writeFileAtomic(files.csv[1], groupsCsv(results));
  return { ...files, cells: results.length, failed: results.filter((c) => c.status === 'failed').length };
}
