import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import { type ParaDetoxRow, paraDetoxFields } from '../src/data/paradetox.ts';
import { forEachRow } from '../src/data/rows.ts';
import { scorerWords } from '../src/evaluate/ngram-features.ts';

/** A text with its class. */
export interface Labelled {
  readonly text: string;
  readonly toxic: boolean;
}

async function readTable(path: string): Promise<Readonly<Record<string, unknown>>[]> {
  const rows: Readonly<Record<string, unknown>>[] = [];
  await forEachRow(
    path,
    ({ value }) => rows.push(value),
    (source, problem) => {
      throw new Error(`${source}: ${problem}`);
    },
  );
  return rows;
}

/** ParaDetox: toxic sentences and their neutral paraphrases. */
export async function readParaDetox(folder: string): Promise<ParaDetoxRow[]> {
  return (await readTable(join(folder, 'paradetox', 'paradetox.tsv'))).flatMap((row) => paraDetoxFields(row) ?? []);
}

async function readJsonLines(path: string): Promise<Record<string, unknown>[]> {
  const bytes = await readFile(path);
  const text = (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Davidson et al. 2017: tweets of class 0 (hate) and 1 (offensive) are toxic, 2 (neither) is not. */
export async function readDavidson(folder: string): Promise<Labelled[]> {
  const rows = await readTable(join(folder, 'davidson-hate-speech', 'labeled_data.csv'));
  return rows.map((row) => ({ text: String(row['tweet'] ?? ''), toxic: row['class'] !== '2' }));
}

/** Jigsaw comments of the Detoxify samples: toxic when any of the six labels is 1; rows labelled -1 are left out. */
export async function readJigsaw(folder: string): Promise<Labelled[]> {
  const names = ['toxic', 'severe_toxic', 'obscene', 'threat', 'insult', 'identity_hate'];
  const rows = (
    await Promise.all(['train.csv', 'test.csv'].map((name) => readTable(join(folder, 'jigsaw-detoxify-samples', name))))
  ).flat();
  return rows
    .filter((row) => names.every((name) => row[name] === '0' || row[name] === '1'))
    .map((row) => ({ text: String(row['comment_text'] ?? ''), toxic: names.some((name) => row[name] === '1') }));
}

/** OpenAI's moderation samples: toxic when any of the labels in `names` is 1; a missing label counts as 0. */
export async function readModeration(folder: string, names: readonly string[]): Promise<Labelled[]> {
  const rows = await readJsonLines(join(folder, 'openai-moderation-1680', 'samples-1680.jsonl.gz'));
  return rows.map((row) => ({ text: String(row['prompt']), toxic: names.some((name) => row[name] === 1) }));
}

/** HH-RLHF harmless-base, test split: the preferred dialogue of each row. */
export async function readDialogues(folder: string): Promise<string[]> {
  const rows = await readJsonLines(join(folder, 'hh-rlhf-harmless-test', 'test.jsonl.gz'));
  return rows.map((row) => String(row['chosen']).trim());
}

export async function readShakespeare(folder: string): Promise<string> {
  return readFile(join(folder, 'tinyshakespeare', 'input.txt'), 'utf8');
}

/** What makes two texts the same for splits: their words as the scorer sees them. */
export function textKey(text: string): string {
  return scorerWords(text).join(' ');
}

/** Sets of items that share a key, directly or through others: every list goes to one side of a split. */
export function groupByKeys<T>(items: readonly T[], keysOf: (item: T) => readonly string[]): T[][] {
  const parent = items.map((_, i) => i);
  const find = (i: number): number => {
    while (parent[i] !== i) {
      parent[i] = parent[parent[i] as number] as number;
      i = parent[i] as number;
    }
    return i;
  };
  const owner = new Map<string, number>();
  items.forEach((item, i) => {
    for (const key of keysOf(item)) {
      const other = owner.get(key);
      if (other === undefined) owner.set(key, i);
      else parent[find(i)] = find(other);
    }
  });
  const groups = new Map<number, T[]>();
  items.forEach((item, i) => {
    const group = groups.get(find(i));
    if (group === undefined) groups.set(find(i), [item]);
    else group.push(item);
  });
  return [...groups.values()];
}
