import { MendsetError } from '../core/errors.ts';

/** An object of a parsed `tokenizer.json`. */
export type Json = Readonly<Record<string, unknown>>;

/** One entry of the file, or `corrupt` with what was expected at `what`. */
export function asObject(json: unknown, path: string, what: string): Json {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new MendsetError(
      'corrupt',
      `Expected an object as ${what} in '${path}' but found ${json === null ? 'null' : Array.isArray(json) ? 'a list' : typeof json}; is it a tokenizer.json?`,
    );
  }
  return json as Json;
}

export function asList(json: unknown, path: string, what: string): readonly unknown[] {
  if (!Array.isArray(json)) throw new MendsetError('corrupt', `Expected a list as ${what} in '${path}' but found ${typeof json}.`);
  return json;
}

/** For a kind that this package has no implementation of; the loader then asks `@huggingface/tokenizers`. */
export function refuse(path: string, kind: string): MendsetError {
  return new MendsetError('unsupported', `'${path}' holds ${kind}, which this package does not implement.`);
}

/** `{"String": "x"}` or `{"Regex": "x"}`. */
export function patternOf(json: unknown, path: string, what: string): { readonly text: string; readonly regex: boolean } {
  const pattern = asObject(json, path, what);
  if (typeof pattern['String'] === 'string') return { text: pattern['String'], regex: false };
  if (typeof pattern['Regex'] === 'string') return { text: pattern['Regex'], regex: true };
  throw new MendsetError(
    'corrupt',
    `Expected a String or a Regex as ${what} in '${path}' but found ${Object.keys(pattern).join(', ') || 'neither'}.`,
  );
}
