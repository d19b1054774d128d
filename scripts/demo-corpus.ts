import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { packageRoot } from '../src/core/package-root.ts';
import { readTexts } from '../src/data/read-texts.ts';

/** The folder of the demo model's training texts: one `{text}` a line, one document a line. */
export const DEMO_CORPUS: string = join(packageRoot(), 'assets', 'demo', 'corpus');

/** The documents of the demo corpus, file by file in name order; an end-of-text token belongs between them. */
export async function demoCorpus(): Promise<string[]> {
  const names = (await readdir(DEMO_CORPUS)).filter((name) => name.endsWith('.jsonl.gz')).sort();
  const documents: string[] = [];
  for (const name of names) documents.push(...(await readTexts(join(DEMO_CORPUS, name))).texts);
  return documents;
}
