import { didYouMean } from '../../core/nearest-name.ts';
import type { CommandContext } from '../command-context.ts';
import { completionScript, SHELLS } from '../completion.ts';

export async function run({ options, argument, table, result }: CommandContext): Promise<number> {
  const shell = SHELLS.find((s) => s === argument);
  if (argument !== undefined && shell === undefined)
    options.problem(`Expected one of ${SHELLS.join(', ')} but received "${argument}".${didYouMean(argument, SHELLS)}`);
  options.finish();
  const script = completionScript(shell ?? 'bash', table.commands, table.shared);
  result({ shell, script }, script);
  return 0;
}
