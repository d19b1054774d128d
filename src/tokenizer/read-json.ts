import { MendsetError } from '../core/errors.ts';
import { readBytes } from '../core/files.ts';

/** The content of a JSON file; `corrupt` where it does not parse. */
export async function readJson(path: string): Promise<unknown> {
  const text = (await readBytes(path)).toString('utf8');
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new MendsetError(
      'corrupt',
      `Expected JSON in '${path}' but it does not parse (${(error as Error).message}); fetch the file again.`,
      { cause: error },
    );
  }
}
