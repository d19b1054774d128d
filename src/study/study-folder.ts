import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MendsetError } from '../core/errors.ts';
import { ensureWritableDirectory, writeFileAtomic } from '../core/files.ts';
import { canonicalJson } from './cell-key.ts';
import type { StudyPlan } from './plan.ts';

/** What `study.json` keeps: the composed configuration and the hashes of its files. A folder belongs to exactly one such identity. */
interface StudyIdentity {
  readonly config: unknown;
  readonly facts: unknown;
}

/**
 * Opens the folder of a study, new or begun. Rejects with `invalid-config` when it holds another study, saying what differs, and
 * with `not-found` when `mustExist` and nothing was begun there.
 */
export async function openStudyFolder(directory: string, plan: StudyPlan, mustExist: boolean): Promise<void> {
  const path = join(directory, 'study.json');
  // how weights are held decides no figure
  const models = plan.config.models.map(({ weights: _, ...model }) => model);
  const wanted: StudyIdentity = { config: { ...plan.config, models }, facts: plan.facts };
  const text = await readFile(path, 'utf8').catch(() => null);
  if (text === null) {
    if (mustExist)
      throw new MendsetError(
        'not-found',
        `Expected a study to resume in '${directory}' but it has no study.json; leave out --resume to begin one.`,
      );
    await ensureWritableDirectory(directory);
    await writeFileAtomic(path, `${JSON.stringify(wanted, null, 2)}\n`);
    return;
  }
  let held: StudyIdentity;
  try {
    held = JSON.parse(text) as StudyIdentity;
  } catch (cause) {
    throw new MendsetError('corrupt', `Expected JSON in '${path}' but it does not parse; use another folder with --out.`, { cause });
  }
  const differing = differences(held, JSON.parse(JSON.stringify(wanted)) as StudyIdentity);
  if (differing.length > 0) {
    const more = differing.length > 1 ? ` (and ${differing.length - 1} more)` : '';
    throw new MendsetError(
      'invalid-config',
      `Expected the study that '${directory}' was begun with, but ${differing[0]}${more}; use another folder with --out, or undo the change.`,
    );
  }
  await ensureWritableDirectory(directory);
}

/** `config.seeds[1] was 44 and is now 48`: the leaves in which two values differ. */
export function differences(before: unknown, after: unknown, path = ''): string[] {
  if (canonicalJson(before ?? null) === canonicalJson(after ?? null)) return [];
  const isTree = (v: unknown): v is Record<string, unknown> => typeof v === 'object' && v !== null;
  if (isTree(before) && isTree(after) && Array.isArray(before) === Array.isArray(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return keys.flatMap((key) =>
      differences(before[key], after[key], Array.isArray(before) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`),
    );
  }
  const short = (v: unknown) => {
    const text = JSON.stringify(v) ?? 'absent';
    return text.length > 50 ? `${text.slice(0, 47)}...` : text;
  };
  return [`${path} was ${short(before)} and is now ${short(after)}`];
}
