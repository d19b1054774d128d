/** The command line as it can be pasted into a shell; `extra` flags are added unless there. */
export function commandLine(argv: readonly string[], extra: readonly string[] = []): string {
  const words = ['mendset', ...argv, ...extra.filter((e) => !argv.includes(e))];
  return words.map((w) => (/^[\w@%+=:,./-]+$/.test(w) ? w : `'${w.replaceAll("'", "'\\''")}'`)).join(' ');
}
