import { MendsetError } from '../core/errors.ts';
import { readBytes } from '../core/files.ts';

/** A small JSON file; null when it may be absent and is. Rejects with `not-found` or `corrupt`. */
export async function readJsonFile(path: string, options: { optional?: boolean } = {}): Promise<unknown> {
  let bytes: Buffer;
  try {
    bytes = await readBytes(path);
  } catch (error) {
    if (options.optional && error instanceof MendsetError && error.code === 'not-found') return null;
    throw error;
  }
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new MendsetError('corrupt', `Expected ${path} to hold JSON: ${(error as Error).message}.`, { cause: error });
  }
}
