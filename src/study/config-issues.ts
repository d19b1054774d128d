import type { z } from 'zod';
import { MendsetError } from '../core/errors.ts';
import type { YamlFile } from './yaml-file.ts';

/** One sentence for each issue, with the place in the file. */
export function issueSentences(issues: readonly z.core.$ZodIssue[], file: YamlFile): string[] {
  return issues.flatMap((issue) => {
    const name = pathName(issue.path);
    if (issue.code === 'unrecognized_keys') {
      const sentences = issue.message.split('\n');
      return issue.keys.map(
        (key, i) => `${file.where(issue.path, key)}: ${name === '' ? '' : `${name}: `}${sentences[i] ?? issue.message}`,
      );
    }
    const sentence = issue.message.replace(/received nothing\.$/, 'it is missing.');
    return [`${file.where(issue.path)}: ${name === '' ? '' : `${name}: `}${sentence}`];
  });
}

export function configError(problems: readonly string[]): MendsetError {
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  return new MendsetError('invalid-config', `${problems[0]}${more}`, { problems });
}

/** `repairs[0].learningRate` */
export function pathName(path: readonly PropertyKey[]): string {
  return path.map((p, i) => (typeof p === 'number' ? `[${p}]` : `${i === 0 ? '' : '.'}${String(p)}`)).join('');
}
