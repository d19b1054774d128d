import { MendsetError } from '../core/errors.ts';

const most = 20;

/** Collects the mistakes of data files, so that all are named at once. Reading stops after twenty. */
export class DataProblems {
  private readonly found: string[] = [];

  /** `where` is `file:line`. Throws when there are twenty. */
  add(where: string, problem: string): void {
    this.found.push(`${where}: ${problem}`);
    if (this.found.length >= most) this.throwIfAny();
  }

  throwIfAny(): void {
    const [first] = this.found;
    if (first === undefined) return;
    const others = this.found.length - 1;
    const more = others === 0 ? '' : ` (and ${others}${this.found.length >= most ? ' or more' : ''} like it)`;
    throw new MendsetError('invalid-data', `${first}${more}`, { problems: this.found });
  }
}

/** A value of JSON in a few words, for an error message; long ones are cut and texts are not quoted, since they may be offensive. */
export function describeJson(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (typeof value === 'string') return `a text of ${value.length} characters`;
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object') {
    const keys = Object.keys(value);
    return keys.length === 0
      ? 'an empty object'
      : `an object with ${keys
          .slice(0, 6)
          .map((key) => `'${key.slice(0, 40)}'`)
          .join(', ')}${keys.length > 6 ? ', ...' : ''}`;
  }
  return `the ${typeof value} ${String(value)}`;
}
