import { formatBytes } from '../../core/memory.ts';
import { textTable } from '../../report/text-table.ts';
import { cacheEntries, clearCaches } from '../cache-folders.ts';
import type { CommandContext } from '../command-context.ts';
import { commandLine } from '../command-line.ts';

/** What a study folder keeps to save work, and how to be rid of it. */
export async function run({ options, argument, result }: CommandContext): Promise<number> {
  const clear = options.flag('clear');
  await options.input(argument, 'folder', 'dir', 'the study folder');
  options.finish();
  const directory = argument as string;
  const entries = await cacheEntries(directory);
  if (clear) await clearCaches(directory);
  const bytes = entries.reduce((sum, e) => sum + e.bytes, 0);
  const rows = entries.map((e) => [e.name, e.help, String(e.files), formatBytes(e.bytes)]);
  const text =
    entries.length === 0
      ? 'Nothing is cached here.'
      : `${textTable(['cache', 'holds', 'files', 'size'], rows, { left: 2 })}\n\n${clear ? `cleared: ${formatBytes(bytes)}` : `together ${formatBytes(bytes)}; to clear: ${commandLine(['cache', directory, '--clear'])}`}`;
  result({ directory, entries, bytes, cleared: clear }, text);
  return 0;
}
