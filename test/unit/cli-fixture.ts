import type { CliIo } from '../../src/cli/io.ts';
import { runCli } from '../../src/cli/run-cli.ts';

export interface CliRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command line in this process. `interrupt` is called with the function that stands for Ctrl-C. */
export async function cli(argv: readonly string[], interrupt?: (fire: () => void) => void): Promise<CliRun> {
  let stdout = '';
  let stderr = '';
  const io: CliIo = {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
    interactive: false,
    colour: false,
    columns: 80,
    onInterrupt: (handler) => {
      interrupt?.(handler);
      return () => undefined;
    },
    exit: () => undefined,
  };
  const code = await runCli(argv, io);
  return { code, stdout, stderr };
}

/** The error sentences of a run that ended with wrong input. */
export function errors(run: CliRun): string[] {
  return run.stderr
    .split('\n')
    .filter((line) => line.startsWith('error: '))
    .map((line) => line.slice('error: '.length));
}
