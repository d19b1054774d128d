import type { BackendName } from '../model/load-weights.ts';
import type { CommandSpec, OptionSpec } from './command-table.ts';
import type { CliIo } from './io.ts';
import type { OptionReader } from './option-reader.ts';
import type { ProgressReporter } from './progress.ts';

/** The options that every command has, read and checked. */
export interface SharedOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly seed: number | undefined;
  readonly threads: number | undefined;
  readonly backend: BackendName | undefined;
}

/** What a command is given. */
export interface CommandContext {
  readonly io: CliIo;
  readonly shared: SharedOptions;
  readonly options: OptionReader;
  /** Positional argument, if any */
  readonly argument: string | undefined;
  readonly furtherWords: readonly string[];
  /** All commands, for those that speak about them */
  readonly table: { readonly commands: readonly CommandSpec[]; readonly shared: readonly OptionSpec[] };
  /** Fires at the first interrupt */
  readonly signal: AbortSignal;
  readonly progress: ProgressReporter;
  /** Arguments as typed, for the line that resumes the work */
  readonly argv: readonly string[];
  /** Prints the result: the document with --json, else the text */
  result(document: unknown, text: string): void;
  /** Lines that tell how to go on after an interrupt */
  onInterrupted(lines: () => string | Promise<string>): void;
}
