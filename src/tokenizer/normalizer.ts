import { bertNormalizer, lowerCase } from './bert-normalizer.ts';
import { compilePattern } from './regular-expression.ts';
import { asList, asObject, type Json, refuse } from './tokenizer-json.ts';

/** A text before it is cut into words. */
export type Normalizer = (text: string) => string;

/** The `normalizer` of a tokenizer.json; null leaves texts as they are. Throws `unsupported` for kinds without an implementation. */
export function parseNormalizer(json: unknown, path: string): Normalizer | null {
  if (json === null || json === undefined) return null;
  const steps = stepsOf(asObject(json, path, '`normalizer`'), path);
  const [only] = steps;
  if (only === undefined) return null;
  return steps.length === 1 ? only : (text) => steps.reduce((before, step) => step(before), text);
}

function stepsOf(json: Json, path: string): Normalizer[] {
  const type = json['type'];
  switch (type) {
    case 'Sequence':
      return asList(json['normalizers'], path, '`normalizers`').flatMap((step) => stepsOf(asObject(step, path, 'a normaliser'), path));
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return [(text) => text.normalize(type)];
    case 'Lowercase':
      return [lowerCase];
    case 'StripAccents':
      return [(text) => text.replace(/\p{M}+/gu, '')];
    case 'Strip':
      return [
        ...(json['strip_left'] === true ? [(text: string) => text.replace(/^\p{White_Space}+/u, '')] : []),
        ...(json['strip_right'] === true ? [(text: string) => text.replace(/\p{White_Space}+$/u, '')] : []),
      ];
    case 'Prepend': {
      const prefix = String(json['prepend']);
      return [(text) => (text === '' ? text : prefix + text)];
    }
    case 'Replace': {
      const pattern = compilePattern(json['pattern'], path, '`pattern`');
      const content = String(json['content']);
      return [(text) => text.replace(pattern, () => content)];
    }
    case 'BertNormalizer':
      return [bertNormalizer(json)];
    default:
      throw refuse(path, `a ${String(type)} normaliser`);
  }
}
