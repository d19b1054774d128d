import { MendsetError } from '../core/errors.ts';
import { didYouMean } from '../core/nearest-name.ts';
import { readYamlFile } from '../study/yaml-file.ts';
import type { GivenOption } from './option-reader.ts';

/** Options of a YAML mapping; keys are the flags' names, with hyphens or in camelCase. Every unknown key is named at once. */
export async function readConfigOptions(path: string, known: readonly string[]): Promise<Map<string, GivenOption>> {
  const file = await readYamlFile(path);
  const given = new Map<string, GivenOption>();
  if (file.value === null || file.value === undefined) return given;
  if (typeof file.value !== 'object' || Array.isArray(file.value)) {
    throw new MendsetError('invalid-config', `${file.where([])}: expected a mapping of option names to values.`);
  }
  const problems: string[] = [];
  for (const [key, value] of Object.entries(file.value)) {
    const name = key.replaceAll(/-([a-z])/g, (_, c: string) => c.toUpperCase());
    if (known.includes(name)) given.set(name, { value, label: `${file.where([], key)}: ${key}` });
    else problems.push(`${file.where([], key)}: unknown option "${key}".${didYouMean(name, known)}`);
  }
  if (problems.length > 0)
    throw new MendsetError(
      'invalid-config',
      problems.length > 1 ? `${problems[0]} (and ${problems.length - 1} more)` : (problems[0] as string),
      { problems },
    );
  return given;
}
