import { z } from 'zod';
import { parseBytes } from '../core/memory.ts';
import { didYouMean } from '../core/nearest-name.ts';

/**
 * Building blocks of configuration schemas. Each checks with errors that say what was expected, what came and what was probably
 * meant (every message ends a sentence that begins with the place, e.g. `study.yaml:4:3: seeds[0]: expected ...`), and each knows
 * the same rule as JSON Schema, so that what an editor accepts is what the checker accepts.
 */

/** A JSON Schema, draft 2020-12. */
export type JsonSchema = { readonly [keyword: string]: unknown };

const SHAPES = z.registry<{ json: JsonSchema }>();

/** Adds the JSON Schema of a schema that zod cannot tell. */
export function shaped<S extends z.ZodType>(schema: S, json: JsonSchema): S {
  SHAPES.add(schema, { json });
  return schema;
}

/** The JSON Schema of a schema made of this file's building blocks; throws for any other. */
export function jsonSchemaOf(schema: z.ZodType): JsonSchema {
  const { description } = z.globalRegistry.get(schema) ?? {};
  const json = SHAPES.get(schema)?.json ?? unwrap(schema);
  return description === undefined ? json : { ...json, description };
}

function unwrap(schema: z.ZodType): JsonSchema {
  const def = schema._zod.def as { type: string; innerType?: z.ZodType; defaultValue?: unknown; values?: readonly unknown[] };
  if (def.type === 'literal') return { const: def.values?.[0] };
  if (def.type === 'optional') return jsonSchemaOf(def.innerType as z.ZodType);
  if (def.type === 'default') return { ...jsonSchemaOf(def.innerType as z.ZodType), default: def.defaultValue };
  throw new TypeError(`Expected a building block of config-schema.ts but received a zod ${def.type}.`);
}

/** A value as a person would quote it, shortened. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'number') return String(value);
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

const expected = (what: string) => ({ error: (issue: { input?: unknown }) => `expected ${what} but received ${show(issue.input)}.` });

/** A mapping without unknown keys. */
export function mapping<S extends z.ZodRawShape>(what: string, shape: S): z.ZodObject<S, z.core.$strict> {
  const schema = z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== 'unrecognized_keys') return `expected ${what} (a mapping) but received ${show(issue.input)}.`;
      const names = Object.keys(shape);
      const keys = issue.keys as string[];
      return keys.map((key) => `unknown key "${key}".${didYouMean(key, names)} Known keys: ${names.join(', ')}.`).join('\n');
    },
  });
  const entries = Object.entries(shape) as [string, z.ZodType][];
  const required = entries.filter(([, value]) => !value.isOptional()).map(([key]) => key);
  return shaped(schema, {
    type: 'object',
    properties: Object.fromEntries(entries.map(([key, value]) => [key, jsonSchemaOf(value)])),
    ...(required.length > 0 ? { required } : {}),
    additionalProperties: false,
  });
}

export interface NumberRange {
  readonly min?: number;
  readonly max?: number;
  /** The minimum itself is not allowed */
  readonly above?: number;
  readonly integer?: boolean;
}

function rangeText({ min, max, above, integer }: NumberRange): string {
  const kind = integer ? 'a whole number' : 'a number';
  if (above !== undefined) return max === undefined ? `${kind} above ${above}` : `${kind} above ${above} and at most ${max}`;
  if (min !== undefined && max !== undefined) return `${kind} between ${min} and ${max}`;
  if (min !== undefined) return `${kind} of at least ${min}`;
  return kind;
}

function rangeShape({ min, max, above, integer }: NumberRange): JsonSchema {
  const most = max ?? (integer ? Number.MAX_SAFE_INTEGER : undefined);
  return {
    type: integer ? 'integer' : 'number',
    ...(min === undefined ? {} : { minimum: min }),
    ...(above === undefined ? {} : { exclusiveMinimum: above }),
    ...(most === undefined ? {} : { maximum: most }),
  };
}

export function isInRange(value: unknown, range: NumberRange): value is number {
  return (
    typeof value === 'number' &&
    Number.isFinite(value) &&
    (!range.integer || Number.isSafeInteger(value)) &&
    (range.min === undefined || value >= range.min) &&
    (range.max === undefined || value <= range.max) &&
    (range.above === undefined || value > range.above)
  );
}

export function number(range: NumberRange = {}): z.ZodType<number> {
  return shaped(
    z.custom<number>((value) => isInRange(value, range), expected(rangeText(range))),
    rangeShape(range),
  );
}

export function count(min = 0): z.ZodType<number> {
  return number({ min, integer: true });
}

/** A number in range or one of some words, e.g. `window: auto`. */
export function numberOr<W extends string>(words: readonly W[], range: NumberRange): z.ZodType<number | W> {
  return shaped(
    z.custom<number | W>(
      (value) => words.includes(value as W) || isInRange(value, range),
      expected(`${rangeText(range)} or ${words.map((w) => `"${w}"`).join(' or ')}`),
    ),
    { anyOf: [rangeShape(range), { enum: words }] },
  );
}

export function text(what: string): z.ZodType<string> {
  return shaped(
    z.custom<string>((value) => typeof value === 'string' && value.trim() !== '', expected(what)),
    { type: 'string', pattern: '\\S' },
  );
}

const BYTES = '^[1-9][0-9]*([.][0-9]+)? ?([kKmMgGtT]([iI]?[bB])?|[bB])?$';

/** A size: a number of bytes, or a text such as `4GiB`. */
export function bytes(): z.ZodType<number> {
  const schema = z.unknown().transform((value, context): number => {
    const size = typeof value === 'string' && new RegExp(BYTES).test(value) ? parseBytes(value) : value;
    if (isInRange(size, { min: 1, integer: true })) return size;
    context.addIssue({ code: 'custom', message: `expected a size such as 4GiB, 500MB or a number of bytes but received ${show(value)}.` });
    return z.NEVER;
  });
  return shaped(schema as z.ZodType<number>, {
    anyOf: [rangeShape({ min: 1, integer: true }), { type: 'string', pattern: BYTES }],
  });
}

export function flag(): z.ZodType<boolean> {
  return shaped(
    z.custom<boolean>((value) => typeof value === 'boolean', expected('true or false')),
    { type: 'boolean' },
  );
}

/** One of a closed set of words; a near miss is suggested. */
export function word<W extends string>(words: readonly W[]): z.ZodType<W> {
  return shaped(
    z.custom<W>((value) => words.includes(value as W), {
      error: (issue) =>
        `expected one of ${words.join(', ')} but received ${show(issue.input)}.${typeof issue.input === 'string' ? didYouMean(issue.input, words) : ''}`,
    }),
    { enum: words },
  );
}

export const presetKey: z.ZodDefault<z.ZodType<'principled' | 'paper'>> = word(['principled', 'paper'] as const).default('principled');

/** A non-empty list without repeats; a single value may stand for a list of one. */
export function listOf<T>(what: string, item: z.ZodType<T>): z.ZodType<T[]> {
  const list = z
    .array(item, expected(`a list of ${what}`))
    .min(1, expected(`at least one of ${what}`))
    .refine((values) => new Set(values.map((v) => JSON.stringify(v))).size === values.length, {
      error: (issue) => `expected ${what} without repeats but received ${show(issue.input)}.`,
    });
  const schema = z.preprocess((value) => (value === undefined || value === null || Array.isArray(value) ? value : [value]), list);
  const json = jsonSchemaOf(item);
  return shaped(schema as z.ZodType<T[]>, { anyOf: [{ type: 'array', items: json, minItems: 1, uniqueItems: true }, json] });
}

/** `x` stands for `{ key: x }`. */
export function shorthand<T>(key: string, schema: z.ZodType<T>): z.ZodType<T> {
  const json = jsonSchemaOf(schema);
  const variants = json['anyOf'] as readonly JsonSchema[] | undefined;
  const valueShape = (variant: JsonSchema) => (variant['properties'] as Record<string, JsonSchema>)[key] as JsonSchema;
  const short = variants ? { enum: variants.map((v) => valueShape(v)['const']) } : valueShape(json);
  const long = variants ?? [json];
  return shaped(
    z.preprocess((value) => (typeof value === 'string' || typeof value === 'number' ? { [key]: value } : value), schema) as z.ZodType<T>,
    { anyOf: [short, ...long] },
  );
}

/** A mapping whose `key` decides which other keys it may have. */
export function choice<T>(key: string, what: string, variants: Readonly<Record<string, z.ZodType>>): z.ZodType<T> {
  const names = Object.keys(variants);
  const schema = z.unknown().transform((value, context): T => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      context.addIssue({ code: 'custom', message: `expected ${what} (a mapping with "${key}") but received ${show(value)}.` });
      return z.NEVER;
    }
    const name = (value as Record<string, unknown>)[key];
    const variant = typeof name === 'string' && Object.hasOwn(variants, name) ? variants[name] : undefined;
    if (variant === undefined) {
      const hint = typeof name === 'string' ? didYouMean(name, names) : '';
      context.addIssue({
        code: 'custom',
        path: name === undefined ? [] : [key],
        message: `expected ${key} to be one of ${names.join(', ')} but received ${show(name)}.${hint}`,
      });
      return z.NEVER;
    }
    const result = variant.safeParse(value);
    if (result.success) return result.data as T;
    for (const issue of result.error.issues) context.addIssue(issue as never);
    return z.NEVER;
  }) as z.ZodType<T>;
  return shaped(schema, { anyOf: Object.values(variants).map(jsonSchemaOf) });
}
