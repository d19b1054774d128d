import { resultsTable } from '../../report/text-report.ts';
import { writeReport } from '../../report/write-report.ts';
import { readResults } from '../../study/results-file.ts';
import type { CommandContext } from '../command-context.ts';

export async function run({ options, argument, result }: CommandContext): Promise<number> {
  const directory = argument ?? '';
  const out = options.text('out');
  await options.input(directory, 'folder', 'dir', 'the study folder');
  if (options.problems.length === 0) await options.output(out ?? directory, 'folder', 'out');
  options.finish();
  const files = await writeReport(directory, out === undefined ? {} : { out });
  const table = resultsTable(await readResults(directory));
  result(
    { ...files },
    `${table}\n\n${files.cells} cells${files.failed > 0 ? `, ${files.failed} failed` : ''}\nreport  ${files.html}\ntext    ${files.text}\ntables  ${files.csv.join(', ')}`,
  );
  return 0;
}
