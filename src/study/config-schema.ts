import { z } from 'zod';
import { didYouMean } from '../core/nearest-name.ts';

/**
 * Building blocks of configuration schemas whose errors say what was expected, what came and what was probably meant.
 * Every message ends a sentence that begins with the place, e.g. `study.yaml:4:3: seeds[0]: expected ...`.
 */

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
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== 'unrecognized_keys') return `expected ${what} (a mapping) but received ${show(issue.input)}.`;
      const names = Object.keys(shape);
      const keys = issue.keys as string[];
      return keys.map((key) => `unknown key "${key}".${didYouMean(key, names)} Known keys: ${names.join(', ')}.`).join('\n');
    },
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
  return z.custom<number>((value) => isInRange(value, range), expected(rangeText(range)));
}

export function count(min = 0): z.ZodType<number> {
  return number({ min, integer: true });
}

/** A number in range or one of some words, e.g. `window: auto`. */
export function numberOr<W extends string>(words: readonly W[], range: NumberRange): z.ZodType<number | W> {
  return z.custom<number | W>(
    (value) => words.includes(value as W) || isInRange(value, range),
    expected(`${rangeText(range)} or ${words.map((w) => `"${w}"`).join(' or ')}`),
  );
}

export function text(what: string): z.ZodType<string> {
  return z.custom<string>((value) => typeof value === 'string' && value.trim() !== '', expected(what));
}

export function flag(): z.ZodType<boolean> {
  return z.custom<boolean>((value) => typeof value === 'boolean', expected('true or false'));
}

/** One of a closed set of words; a near miss is suggested. */
export function word<W extends string>(words: readonly W[]): z.ZodType<W> {
  return z.custom<W>((value) => words.includes(value as W), {
    error: (issue) =>
      `expected one of ${words.join(', ')} but received ${show(issue.input)}.${typeof issue.input === 'string' ? didYouMean(issue.input, words) : ''}`,
  });
}

/** A non-empty list without repeats; a single value may stand for a list of one. */
export function listOf<T>(what: string, item: z.ZodType<T>): z.ZodType<T[]> {
  const list = z
    .array(item, expected(`a list of ${what}`))
    .min(1, expected(`at least one of ${what}`))
    .refine((values) => new Set(values.map((v) => JSON.stringify(v))).size === values.length, {
      error: (issue) => `expected ${what} without repeats but received ${show(issue.input)}.`,
    });
  return z.preprocess((value) => (value === undefined || value === null || Array.isArray(value) ? value : [value]), list) as z.ZodType<T[]>;
}

/** `x` stands for `{ key: x }`. */
export function shorthand<T>(key: string, schema: z.ZodType<T>): z.ZodType<T> {
  return z.preprocess(
    (value) => (typeof value === 'string' || typeof value === 'number' ? { [key]: value } : value),
    schema,
  ) as z.ZodType<T>;
}

/** A mapping whose `key` decides which other keys it may have. */
export function choice<T>(key: string, what: string, variants: Readonly<Record<string, z.ZodType>>): z.ZodType<T> {
  const names = Object.keys(variants);
  return z.unknown().transform((value, context): T => {
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
}
