import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { packageRoot } from '../src/core/package-root.ts';
import { readTexts } from '../src/data/read-texts.ts';

/** The folder of the demo model's training texts: one `{text}` a line, one document a line. */
export const DEMO_CORPUS: string = join(packageRoot(), 'assets', 'demo', 'corpus');

export interface DemoDocument {
  /** Name of its file without the endings: dialogues, paradetox-neutral, paradetox-toxic, shakespeare */
  readonly part: string;
  readonly text: string;
}

/** The documents of the demo corpus, file by file in name order; an end-of-text token belongs between them. */
export async function demoCorpus(): Promise<DemoDocument[]> {
  const names = (await readdir(DEMO_CORPUS)).filter((name) => name.endsWith('.jsonl.gz')).sort();
  const documents: DemoDocument[] = [];
  for (const name of names) {
    const part = name.slice(0, -'.jsonl.gz'.length);
    for (const text of (await readTexts(join(DEMO_CORPUS, name))).texts) documents.push({ part, text });
  }
  return documents;
}
