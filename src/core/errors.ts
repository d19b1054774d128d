/** Why something failed. The set is closed: callers may switch over it. */
export type ErrorCode =
  | 'invalid-argument' // the caller's value is wrong
  | 'invalid-config' // a configuration file or a flag is wrong
  | 'invalid-data' // a record, matrix or prompt file is wrong
  | 'not-found' // a file, folder or tensor that should exist does not
  | 'io' // the operating system refused
  | 'corrupt' // a file contradicts itself or its format
  | 'unsupported' // valid, but not implemented here
  | 'out-of-memory'
  | 'non-finite' // NaN or infinity where a number was needed
  | 'device' // a backend failed or is unusable
  | 'aborted' // the caller's signal fired
  | 'internal'; // a bug in mendset

/** The codes that mean "the input was wrong": the command line exits with 2 for them. */
export const INPUT_ERROR_CODES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'invalid-argument',
  'invalid-config',
  'invalid-data',
  'not-found',
  'corrupt',
  'unsupported',
]);

/**
 * The one error class of mendset. `message` is one sentence for a stranger: what was expected, what came, what to do;
 * `problems` lists every mistake when several were found at once.
 */
export class MendsetError extends Error {
  override readonly name = 'MendsetError';
  readonly code: ErrorCode;
  readonly problems: readonly string[];

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; problems?: readonly string[] } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.problems = options.problems ?? [];
  }
}
