import { MendsetError } from '../core/errors.ts';
import { asList, asObject, type Json, refuse } from './tokenizer-json.ts';

/** Ids that stand around a single text. */
export interface SurroundingTokens {
  readonly before: readonly number[];
  readonly behind: readonly number[];
}

const NONE: readonly number[] = [];

/** What `encode` puts around a text. */
export function chosenSpecials(surrounding: SurroundingTokens, specials: boolean | 'before' | undefined): SurroundingTokens {
  if (specials === true) return surrounding;
  return { before: specials === 'before' ? surrounding.before : NONE, behind: NONE };
}

/** The `post_processor` of a tokenizer.json, as far as it concerns one text: pairs of texts are not encoded here. */
export function parsePostProcessor(json: unknown, path: string): SurroundingTokens {
  if (json === null || json === undefined) return { before: [], behind: [] };
  return surrounding(asObject(json, path, '`post_processor`'), path);
}

function surrounding(json: Json, path: string): SurroundingTokens {
  switch (json['type']) {
    case 'ByteLevel':
      return { before: [], behind: [] };
    case 'BertProcessing':
    case 'RobertaProcessing':
      return { before: [idOf(json['cls'], path, '`cls`')], behind: [idOf(json['sep'], path, '`sep`')] };
    case 'TemplateProcessing':
      return template(json, path);
    case 'Sequence':
      return asList(json['processors'], path, '`processors`')
        .map((step) => surrounding(asObject(step, path, 'a post-processor'), path))
        .reduce((inner, outer) => ({ before: [...outer.before, ...inner.before], behind: [...inner.behind, ...outer.behind] }));
    default:
      throw refuse(path, `a ${String(json['type'])} post-processor`);
  }
}

/** `[token, id]` */
function idOf(json: unknown, path: string, what: string): number {
  const id = Array.isArray(json) ? json[1] : undefined;
  if (typeof id === 'number' && Number.isSafeInteger(id) && id >= 0) return id;
  throw new MendsetError(
    'corrupt',
    `Expected a token and its id as ${what} of the post-processor in '${path}' but found ${JSON.stringify(json)}.`,
  );
}

function template(json: Json, path: string): SurroundingTokens {
  const known = asObject(json['special_tokens'] ?? {}, path, '`special_tokens`');
  const before: number[] = [];
  const behind: number[] = [];
  let texts = 0;
  for (const piece of asList(json['single'], path, '`single`')) {
    const entry = asObject(piece, path, 'a piece of the template');
    if ('Sequence' in entry) {
      texts++;
      continue;
    }
    const name = String(asObject(entry['SpecialToken'], path, 'a special token of the template')['id']);
    const ids = asList(asObject(known[name], path, `the special token ${name}`)['ids'], path, `the ids of ${name}`);
    (texts === 0 ? before : behind).push(...(ids as number[]));
  }
  if (texts !== 1) throw refuse(path, `a template with ${texts} places for the text`);
  return { before, behind };
}
