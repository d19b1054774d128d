import { randomBytes } from 'node:crypto';
import { access, constants, open, stat, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { MendsetError } from '../core/errors.ts';
import { pathKind } from '../core/files.ts';
import { parseBytes } from '../core/memory.ts';
import { didYouMean } from '../core/nearest-name.ts';
import { isHubName, parseHubName } from '../data/hub/hub-name.ts';
import { type ColumnNames, MAPPED_FIELDS } from '../data/rows.ts';

/** A value and what to call it in an error: `--budget`, or `run.yaml:3:1: budget`. */
export interface GivenOption {
  readonly value: unknown;
  readonly label: string;
}

export type BudgetOption = { readonly fraction: number } | { readonly count: number };

/**
 * Reads a command's options strictly and collects every mistake, so that all are reported at once and before any work:
 * call `finish` once everything was read.
 */
export class OptionReader {
  readonly problems: string[] = [];
  readonly #given: ReadonlyMap<string, GivenOption>;

  constructor(given: ReadonlyMap<string, GivenOption>) {
    this.#given = given;
  }

  has(name: string): boolean {
    return this.#given.has(name);
  }

  /** Kept once, also where an option is read twice. */
  problem(sentence: string): void {
    if (!this.problems.includes(sentence)) this.problems.push(sentence);
  }

  /** Throws one `invalid-argument` that lists all problems, if there are any. */
  finish(): void {
    if (this.problems.length === 0) return;
    const more = this.problems.length > 1 ? ` (and ${this.problems.length - 1} more)` : '';
    throw new MendsetError('invalid-argument', `${this.problems[0]}${more}`, { problems: [...this.problems] });
  }

  /** Runs a check or a reading; what it finds wrong joins the list, and then the value is undefined. */
  async attempt<T>(work: () => T | Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof MendsetError) || error.code === 'aborted' || error.code === 'internal') throw error;
      for (const sentence of error.problems.length > 0 ? error.problems : [error.message]) this.problem(sentence);
      return undefined;
    }
  }

  /** Names options that were given but mean nothing here. */
  refuse(names: readonly string[], because: string): void {
    for (const name of names) {
      const given = this.#given.get(name);
      if (given) this.problem(`Expected no ${given.label} ${because}.`);
    }
  }

  flag(name: string): boolean {
    const given = this.#given.get(name);
    if (given === undefined) return false;
    if (typeof given.value === 'boolean') return given.value;
    this.#wrong(given, 'true or false');
    return false;
  }

  text(name: string): string | undefined {
    const given = this.#given.get(name);
    if (given === undefined) return undefined;
    if (typeof given.value === 'string' && given.value.trim() !== '') return given.value;
    this.#wrong(given, 'a text');
    return undefined;
  }

  /** A text that must be there; `what` says what for. */
  required(name: string, what: string): string {
    const value = this.text(name);
    if (value === undefined && !this.#given.has(name)) this.problem(`Expected --${kebab(name)} ${what}, but it is missing.`);
    return value ?? '';
  }

  /** One or several texts. */
  texts(name: string): string[] {
    const given = this.#given.get(name);
    if (given === undefined) return [];
    const list = Array.isArray(given.value) ? given.value : [given.value];
    if (list.length > 0 && list.every((v) => typeof v === 'string' && v !== '')) return list as string[];
    this.#wrong(given, 'one or more paths');
    return [];
  }

  oneOf<W extends string>(name: string, words: readonly W[], fallback: W): W;
  oneOf<W extends string>(name: string, words: readonly W[], fallback?: undefined): W | undefined;
  oneOf<W extends string>(name: string, words: readonly W[], fallback?: W): W | undefined {
    const given = this.#given.get(name);
    if (given === undefined) return fallback;
    if (words.includes(given.value as W)) return given.value as W;
    const hint = typeof given.value === 'string' ? didYouMean(given.value, words) : '';
    this.problem(`Expected ${given.label} to be one of ${words.join(', ')} but received ${quote(given.value)}.${hint}`);
    return fallback;
  }

  /** One of a closed set that must be named. */
  requiredOneOf<W extends string>(name: string, words: readonly W[]): W | undefined {
    if (!this.#given.has(name)) this.problem(`Expected --${kebab(name)}, one of ${words.join(', ')}, but it is missing.`);
    return this.oneOf(name, words);
  }

  /** Comma-separated words of a closed set. */
  someOf<W extends string>(name: string, words: readonly W[], fallback: readonly W[]): readonly W[] {
    const given = this.#given.get(name);
    if (given === undefined) return fallback;
    const list = Array.isArray(given.value) ? given.value : String(given.value).split(',');
    const chosen: W[] = [];
    for (const raw of list) {
      const word = String(raw).trim();
      if (words.includes(word as W)) chosen.push(word as W);
      else this.problem(`Expected ${given.label} to name ${words.join(', ')} but received "${word}".${didYouMean(word, words)}`);
    }
    return [...new Set(chosen)];
  }

  number(name: string, range: NumberRange): number | undefined {
    const given = this.#given.get(name);
    if (given === undefined) return undefined;
    const value = parseNumber(given.value);
    if (value !== null && inRange(value, range)) return value;
    this.#wrong(given, rangeText(range));
    return undefined;
  }

  count(name: string, min = 0, max: number = Number.MAX_SAFE_INTEGER): number | undefined {
    return this.number(name, { min, max, integer: true });
  }

  /** A whole number or a word, e.g. `--window model`. */
  countOr<W extends string>(name: string, words: readonly W[], min: number): number | W | undefined {
    const given = this.#given.get(name);
    if (given === undefined) return undefined;
    if (words.includes(given.value as W)) return given.value as W;
    const value = parseNumber(given.value);
    if (value !== null && inRange(value, { min, integer: true })) return value;
    this.#wrong(given, `a whole number of at least ${min} or ${words.join(' or ')}`);
    return undefined;
  }

  /** `0.5` is a share of the records, `200` a number of records. */
  budget(name: string): BudgetOption {
    const given = this.#given.get(name);
    const none = { count: 1 };
    if (given === undefined) {
      this.problem(`Expected --${kebab(name)}, a share such as 0.5 or a number of records such as 200, but it is missing.`);
      return none;
    }
    const budget = parseBudget(given.value);
    if (budget) return budget;
    this.#wrong(given, 'a share above 0 and below 1 (0.5; 1.0 for all) or a whole number of records of at least 1');
    return none;
  }

  /** `field=column` pairs, separated by commas: which column of a file is meant by a field. */
  columns(name: string): ColumnNames | undefined {
    const given = this.#given.get(name);
    if (given === undefined) return undefined;
    const pairs =
      typeof given.value === 'object' && given.value !== null && !Array.isArray(given.value)
        ? Object.entries(given.value)
        : String(given.value)
            .split(',')
            .map((pair) => [pair.slice(0, Math.max(0, pair.indexOf('='))).trim(), pair.slice(pair.indexOf('=') + 1).trim()] as const);
    for (const [field, column] of pairs) {
      if (!MAPPED_FIELDS.includes(field) || typeof column !== 'string' || column === '') {
        this.#wrong(
          given,
          `field=column pairs such as prompt=question,chosen=answer, with a field of ${MAPPED_FIELDS.slice(0, 5).join(', ')}, ...,`,
        );
        return undefined;
      }
    }
    return Object.fromEntries(pairs) as ColumnNames;
  }

  /** A size in bytes such as 4GiB. */
  bytes(name: string): number | undefined {
    const given = this.#given.get(name);
    if (given === undefined) return undefined;
    const bytes = typeof given.value === 'number' && Number.isSafeInteger(given.value) && given.value > 0 ? given.value : null;
    const parsed = bytes ?? (typeof given.value === 'string' ? parseBytes(given.value) : null);
    if (parsed !== null) return parsed;
    this.#wrong(given, 'a size such as 4GiB, 500MB or a number of bytes');
    return undefined;
  }

  /** A file or folder that must exist; `name` is what to call it when it is no option, e.g. `the study`. */
  async input(path: string | undefined, kind: 'file' | 'folder' | 'any', option: string, name?: string): Promise<void> {
    if (path === undefined || path === '') return;
    // What the Hub holds is known when it is fetched
    if (isHubName(path) && option !== 'embeddings') {
      await this.attempt(() => parseHubName(path));
      return;
    }
    const label = name ?? this.#given.get(option)?.label ?? `--${kebab(option)}`;
    const found = await pathKind(path).catch(() => 'none' as const);
    if (found === 'none')
      this.problem(`Expected ${label} to be ${kind === 'folder' ? 'a folder' : 'a file'} that exists but there is none at '${path}'.`);
    else if (kind !== 'any' && found !== kind) this.problem(`Expected ${label} to be a ${kind} but '${path}' is a ${found}.`);
    else
      await access(path, constants.R_OK).catch(() =>
        this.problem(`Expected ${label} to be readable but '${path}' may not be read; check its permissions.`),
      );
  }

  /** A file that can be created or replaced, or a folder that can be created or written to. Tried with a file that is removed at once. */
  async output(path: string | undefined, kind: 'file' | 'folder', option: string): Promise<void> {
    if (path === undefined || path === '') return;
    const label = this.#given.get(option)?.label ?? `--${kebab(option)}`;
    const found = await pathKind(path).catch(() => 'none' as const);
    if (found !== 'none' && found !== kind) {
      this.problem(`Expected ${label} to be a ${kind} that can be written but '${path}' is a ${found}.`);
      return;
    }
    let folder = kind === 'folder' && found === 'folder' ? resolve(path) : dirname(resolve(path));
    // folders are created on the way, files only in a folder that exists
    if (kind === 'folder') while ((await stat(folder).catch(() => null)) === null && dirname(folder) !== folder) folder = dirname(folder);
    const probe = join(folder, `.mendset-${process.pid}-${randomBytes(4).toString('hex')}.tmp`);
    try {
      // only trying tells: permission bits say nothing about read-only or special file systems
      await (await open(probe, 'wx')).close();
      await unlink(probe);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? String(error);
      this.problem(
        `Expected ${label} to be a ${kind} that can be written but no file can be created in '${folder}' (${code}); choose another path or change its permissions.`,
      );
    }
  }

  #wrong(given: GivenOption, expected: string): void {
    if (typeof given.value === 'string' && given.value.startsWith('--')) {
      this.problem(`Expected a value after ${given.label} but the next word is ${given.value}.`);
      return;
    }
    this.problem(`Expected ${given.label} to be ${expected} but received ${quote(given.value)}.`);
  }
}

export interface NumberRange {
  readonly min?: number;
  readonly max?: number;
  readonly above?: number;
  readonly integer?: boolean;
}

/** Plain decimal or exponent notation, nothing before or after; null otherwise. */
export function parseNumber(value: unknown): number | null {
  if (typeof value === 'number') return Number.isFinite(value) ? value : null;
  if (typeof value !== 'string' || !/^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(value)) return null;
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}

/** null for anything that is neither a share nor a positive count. `1` is one record, `1.0` is everything. */
export function parseBudget(value: unknown): BudgetOption | null {
  const number = parseNumber(value);
  if (number === null || number <= 0) return null;
  const looksWhole = typeof value === 'number' ? Number.isInteger(value) : !/[.e]/i.test(value as string);
  if (looksWhole) return Number.isSafeInteger(number) ? { count: number } : null;
  return number <= 1 ? { fraction: number } : null;
}

function inRange(value: number, { min, max, above, integer }: NumberRange): boolean {
  return (
    (!integer || Number.isSafeInteger(value)) &&
    (min === undefined || value >= min) &&
    (max === undefined || value <= max) &&
    (above === undefined || value > above)
  );
}

function rangeText({ min, max, above, integer }: NumberRange): string {
  const kind = integer ? 'a whole number' : 'a number';
  const upper = max === undefined || max === Number.MAX_SAFE_INTEGER ? undefined : max;
  if (above !== undefined) return upper === undefined ? `${kind} above ${above}` : `${kind} above ${above} and at most ${upper}`;
  if (min !== undefined) return upper === undefined ? `${kind} of at least ${min}` : `${kind} between ${min} and ${upper}`;
  return upper === undefined ? kind : `${kind} of at most ${upper}`;
}

function quote(value: unknown): string {
  return typeof value === 'string' ? `"${value}"` : (JSON.stringify(value) ?? String(value));
}

export function kebab(name: string): string {
  return name.replaceAll(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
}
