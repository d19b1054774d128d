/** Where a command reads its surroundings from and speaks to; tests pass their own. */
export interface CliIo {
  stdout(text: string): void;
  stderr(text: string): void;
  /** stderr is a terminal: progress may redraw its line */
  readonly interactive: boolean;
  readonly colour: boolean;
  readonly columns: number;
  /** Calls `handler` at each interrupt (Ctrl-C, SIGTERM); returns how to stop listening */
  onInterrupt(handler: () => void): () => void;
  /** Leaves at once; used by a second interrupt alone */
  exit(code: number): void;
}

/** The real process. */
export function processIo(): CliIo {
  const interactive = process.stderr.isTTY === true && !isOtherRank(process.env);
  return {
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    interactive,
    colour: interactive && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb',
    columns: process.stderr.columns ?? 80,
    onInterrupt: (handler) => {
      process.on('SIGINT', handler);
      process.on('SIGTERM', handler);
      return () => {
        process.off('SIGINT', handler);
        process.off('SIGTERM', handler);
      };
    },
    exit: (code) => process.exit(code),
  };
}

/** Under mpirun each rank believes it has a terminal; only the first may draw on it. */
function isOtherRank(env: NodeJS.ProcessEnv): boolean {
  return Number(env['OMPI_COMM_WORLD_RANK'] ?? env['PMI_RANK'] ?? 0) > 0;
}
