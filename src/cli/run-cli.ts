import { Command, CommanderError, Option } from 'commander';
import picocolors from 'picocolors';
import { INPUT_ERROR_CODES, MendsetError } from '../core/errors.ts';
import { didYouMean } from '../core/nearest-name.ts';
import { packageVersion } from '../core/package-version.ts';
import { MOST_THREADS } from '../native/addon.ts';
import type { CommandContext, SharedOptions } from './command-context.ts';
import { commandLine } from './command-line.ts';
import { COMMANDS, type CommandSpec, SHARED_OPTIONS } from './command-table.ts';
import { readConfigOptions } from './config-options.ts';
import type { CliIo } from './io.ts';
import { type GivenOption, kebab, OptionReader } from './option-reader.ts';
import { ProgressReporter } from './progress.ts';

/** What a command ended with: 0 done, 1 failed while running, 2 wrong input, 130 interrupted. */
export type ExitCode = 0 | 1 | 2 | 130;

/**
 * Runs one command line (without node and script) and returns its exit code; everything it says goes through `io`.
 *
 * @example
 * process.exitCode = await runCli(['info', '--json'], processIo());
 */
export async function runCli(argv: readonly string[], io: CliIo): Promise<ExitCode> {
  let exitCode: ExitCode = 0;
  const program = new Command('mendset')
    .description('Select the examples worth repairing a language model on, and repair it.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.stdout(text), writeErr: () => undefined, getOutHelpWidth: () => 100 })
    .helpCommand(false);
  for (const spec of COMMANDS) {
    const command = program.command(spec.name).description(spec.summary).exitOverride().allowUnknownOption().allowExcessArguments();
    if (spec.argument) command.argument(`[${spec.argument.name}]`, spec.argument.help);
    command.addHelpText('after', `\nExamples:\n${spec.examples.map(([line, does]) => `  # ${does}\n  ${line}`).join('\n')}`);
    for (const o of [...spec.options, ...SHARED_OPTIONS]) command.addOption(new Option(o.flags, o.help));
    command.action(async () => {
      exitCode = await runCommand(spec, command, argv, io);
    });
  }
  try {
    if (argv.length === 0) {
      program.outputHelp();
      return 0;
    }
    await program.parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return 0;
    const problem = parseProblem(error, argv);
    return reportError(new MendsetError('invalid-argument', problem, { problems: [problem] }), io, argv.includes('--json'));
  }
}

/** Commander's few own errors in our words. */
function parseProblem(error: CommanderError, argv: readonly string[]): string {
  const names = COMMANDS.map((c) => c.name);
  if (error.code === 'commander.unknownCommand') {
    const word = argv.find((a) => !a.startsWith('-')) ?? '';
    return `Expected a command, one of ${names.join(', ')}, but received "${word}".${didYouMean(word, names)}`;
  }
  if (error.code === 'commander.optionMissingArgument')
    return `Expected a value after ${/option '([^ ']+)/.exec(error.message)?.[1] ?? 'the option'} but there is none.`;
  if (error.code === 'commander.unknownOption')
    return `Unknown option ${/'([^']+)'/.exec(error.message)?.[1] ?? ''}; options follow the command, one of ${names.join(', ')}.`;
  return `${error.message.replace(/^error: /, '').replace(/\.?$/, '.')}`;
}

async function runCommand(spec: CommandSpec, command: Command, argv: readonly string[], io: CliIo): Promise<ExitCode> {
  const typed = command.opts<Record<string, unknown>>();
  const json = typed['json'] === true;
  const quiet = typed['quiet'] === true;
  const jsonLog = typed['logFormat'] === 'json';
  const progress = new ProgressReporter(io, { quiet, jsonLog });
  const controller = new AbortController();
  let interrupted: (() => string | Promise<string>) | null = null;
  let interrupts = 0;
  const stopListening = io.onInterrupt(() => {
    interrupts++;
    progress.clear();
    if (interrupts > 1) io.exit(130);
    progress.notice('Interrupted: stopping at the next step. Once more to stop at once.');
    controller.abort(new MendsetError('aborted', 'Interrupted.'));
  });
  try {
    const known = [...spec.options, ...SHARED_OPTIONS].map((o) => new Option(o.flags).attributeName());
    const given = new Map<string, GivenOption>();
    const early: string[] = [];
    if (typeof typed['config'] === 'string') {
      try {
        for (const [name, value] of await readConfigOptions(
          typed['config'],
          known.filter((n) => n !== 'config'),
        ))
          given.set(name, value);
      } catch (error) {
        if (!(error instanceof MendsetError)) throw error;
        early.push(...(error.problems.length > 0 ? error.problems : [error.message]));
      }
    }
    for (const [name, value] of Object.entries(typed)) given.set(name, { value, label: `--${kebab(name)}` });
    const options = new OptionReader(given);
    options.oneOf('logFormat', ['text', 'json'] as const);
    for (const problem of early) options.problem(problem);
    const argument = checkWords(spec, command.args, known, options);
    const shared = readShared(options, json, quiet);
    const context: CommandContext = {
      io,
      shared,
      options,
      argument,
      furtherWords: command.args.slice(1),
      table: { commands: COMMANDS, shared: SHARED_OPTIONS },
      signal: controller.signal,
      progress,
      argv,
      result: (document, text) => {
        progress.clear();
        io.stdout(shared.json ? `${JSON.stringify(document, null, 2)}\n` : text.endsWith('\n') || text === '' ? text : `${text}\n`);
      },
      onInterrupted: (lines) => {
        interrupted = lines;
      },
    };
    const { run } = await spec.load();
    return (await run(context)) as ExitCode;
  } catch (error) {
    progress.clear();
    if (controller.signal.aborted) {
      const lines =
        (await (interrupted as (() => string | Promise<string>) | null)?.()) ??
        `Nothing was written. To run it again:\n  ${commandLine(argv)}`;
      if (json) io.stdout(`${JSON.stringify({ interrupted: true, message: lines })}\n`);
      progress.notice(`Interrupted. ${lines}`);
      return 130;
    }
    return reportError(error, io, json, jsonLog);
  } finally {
    progress.clear();
    stopListening();
  }
}

/** Words left over after the known options: the positional argument, and mistakes. */
function checkWords(spec: CommandSpec, words: readonly string[], known: readonly string[], options: OptionReader): string | undefined {
  const unknown = words.filter((w) => /^-{1,2}[^\d.]/.test(w));
  for (const word of unknown) {
    const name = word.split('=')[0] as string;
    options.problem(`Unknown option ${name} for ${spec.name}.${didYouMean(name.replace(/^-+/, ''), known.map(kebab)).replace('"', '"--')}`);
  }
  // a value of an unknown option looks like an argument, so the rest is judged only without any
  if (unknown.length > 0) return spec.argument ? words.find((w) => !unknown.includes(w)) : undefined;
  if (spec.argument && words.length === 0 && !options.has('schema'))
    options.problem(`Expected mendset ${spec.name} <${spec.argument.name}>, ${spec.argument.help}, but it is missing.`);
  const extra = words.slice((spec.argument ? 1 : 0) + (spec.furtherWords ?? 0));
  if (extra.length > 0)
    options.problem(
      `Expected no further words after mendset ${spec.name}${spec.argument ? ` <${spec.argument.name}>` : ''} but received "${extra.join(' ')}".`,
    );
  return spec.argument ? words[0] : undefined;
}

function readShared(options: OptionReader, json: boolean, quiet: boolean): SharedOptions {
  return {
    json: json || options.flag('json'),
    quiet: quiet || options.flag('quiet'),
    seed: options.count('seed'),
    threads: options.count('threads', 1, MOST_THREADS),
    backend: options.oneOf('backend', ['auto', 'cpu', 'cuda', 'plain'] as const),
  };
}

/** Mistakes that are printed one by one; the document of --json has them all. */
const MOST_LINES = 20;

/** Prints an error as sentences on stderr (and as a document on stdout with --json) and tells the exit code for it. */
export function reportError(error: unknown, io: CliIo, json: boolean, jsonLog = false): ExitCode {
  const known = error instanceof MendsetError;
  const code = known ? error.code : 'internal';
  const message = error instanceof Error ? error.message : String(error);
  const problems = known && error.problems.length > 0 ? error.problems : [message];
  const { red } = picocolors.createColors(io.colour);
  const shown = problems.slice(0, MOST_LINES);
  if (jsonLog)
    for (const message of problems) io.stderr(`${JSON.stringify({ time: new Date().toISOString(), level: 'error', code, message })}\n`);
  else io.stderr(shown.map((p) => `${red('error:')} ${/[.?!)]$/.test(p) ? p : `${p}.`}\n`).join(''));
  if (problems.length > shown.length && !jsonLog) io.stderr(`${problems.length - shown.length} more like these.\n`);
  if (!known && error instanceof Error && error.stack)
    io.stderr(`This is a bug in mendset; please report it with these lines.\n${error.stack}\n`);
  if (json) io.stdout(`${JSON.stringify({ error: { code, message, problems } })}\n`);
  return known && INPUT_ERROR_CODES.has(code) ? 2 : 1;
}
