import { type ErrorCode, MendsetError } from '../core/errors.ts';

/** The addon throws plain errors with a `code` of our set; anything else is passed on untouched. */
export function nativeError(error: unknown): unknown {
  if (error instanceof MendsetError) return error;
  if (error instanceof Error && 'code' in error && typeof error.code === 'string' && CODES.has(error.code)) {
    return new MendsetError(error.code as ErrorCode, error.message, { cause: error });
  }
  return error;
}

/** Runs a short native call and turns its failure into a MendsetError. */
export function callNative<R>(call: () => R): R {
  try {
    return call();
  } catch (error) {
    throw nativeError(error);
  }
}

const CODES: ReadonlySet<string> = new Set<ErrorCode>([
  'invalid-argument',
  'not-found',
  'io',
  'corrupt',
  'unsupported',
  'out-of-memory',
  'non-finite',
  'device',
  'internal',
]);
