import { writeFileAtomic } from '../../core/files.ts';
import type { CommandContext } from '../command-context.ts';
import { prepareSelect, selectDocument } from '../prepare-select.ts';

export async function run(context: CommandContext): Promise<number> {
  const { options, progress, signal, result } = context;
  const out = options.text('out');
  if (out === undefined && !context.shared.json)
    options.problem('Expected --out to name a file for the chosen records, or --json, but neither is given.');
  await options.output(out, 'file', 'out');
  const prepared = await prepareSelect(context);
  options.finish();
  const outcome = await prepared.run({ signal, onProgress: (event) => progress.update(event) });
  const chosen = [...outcome.selection.indices];
  if (out !== undefined) {
    const lines = chosen.map((i) => `${prepared.pairs?.records[i]?.raw ?? JSON.stringify({ index: i })}\n`);
    await writeFileAtomic(out, lines.join(''));
  }
  for (const warning of outcome.warnings) progress.log(`warning: ${warning}`);
  const { summary } = outcome;
  const phases = summary.phases.map((p) => `${p.phase} ${p.seconds.toFixed(3)} s`).join(', ');
  result(
    { ...selectDocument(outcome), out: out ?? null },
    `${chosen.length} of ${prepared.count} records chosen by ${summary.method} in ${summary.seconds.toFixed(3)} s (${phases})${out === undefined ? '' : `\nrecords  ${out}`}`,
  );
  return 0;
}
