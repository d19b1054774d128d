/**
 * Makes the data of the embedded demo from its sources; assets/demo/README.md says what each file is.
 *
 *   npx tsc -p tsconfig.scripts.json && node build/scripts/scripts/make-demo-data.js DATA [OUT]
 *
 * DATA holds paradetox/, tinyshakespeare/ and hh-rlhf-harmless-test/. OUT defaults to assets/demo. Deterministic: every choice follows
 * the SHA-256 of the texts. Needs the built-in scorer (train-scorer.ts); train-tokenizer.ts comes after.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { writeFileAtomic } from '../src/core/files.ts';
import { sha256Hex } from '../src/core/hash.ts';
import { packageRoot } from '../src/core/package-root.ts';
import type { ParaDetoxRow } from '../src/data/paradetox.ts';
import { builtinScorer } from '../src/evaluate/builtin-scorer.ts';
import { lastWordPassages, shakespeareDocuments, splitShakespeare } from './demo-shakespeare.ts';
import { groupByKeys, readDialogues, readParaDetox, readShakespeare, textKey } from './source-data.ts';

const PROMPTS = 240;
const POOL = 1200;
const LAST_WORDS = 150;
const NORMAL = { paradetox: 200, shakespeare: 120, dialogues: 80 };
const DIALOGUE_CHARACTERS = 700;
const NORMAL_CHARACTERS = 450;

const [, , data, out = join(packageRoot(), 'assets', 'demo')] = process.argv;
if (data === undefined) throw new Error('name the folder of the source data');

const scorer = await builtinScorer();
async function toxicities(texts: readonly string[]): Promise<number[]> {
  return (await scorer.score(texts)).map((score) => score?.['toxicity'] as number);
}

function inHashOrder<T>(items: readonly T[], textOf: (item: T) => string): T[] {
  return items
    .map((item) => ({ item, hash: sha256Hex(`demo ${textOf(item)}`) }))
    .sort((a, b) => (a.hash < b.hash ? -1 : 1))
    .map(({ item }) => item);
}

function wordsOf(text: string): string[] {
  return text.trim().split(/\s+/);
}

interface Pair {
  readonly prompt: string;
  readonly chosen: string;
  readonly rejected: string;
}

/** Prompt: the first words (at most six) that the toxic sentence and a paraphrase share but for case; the longest over paraphrases. */
function pairOf(row: ParaDetoxRow): Pair | null {
  const toxic = wordsOf(row.toxic);
  let best: Pair | null = null;
  let longest = 0;
  for (const neutral of row.neutrals) {
    const other = wordsOf(neutral);
    let common = 0;
    while (common < 6 && common < toxic.length && toxic[common]?.toLowerCase() === other[common]?.toLowerCase()) common++;
    if (common <= longest || common >= Math.min(toxic.length, other.length)) continue;
    longest = common;
    best = {
      prompt: toxic.slice(0, common).join(' '),
      chosen: ` ${other.slice(common).join(' ')}`,
      rejected: ` ${toxic.slice(common).join(' ')}`,
    };
  }
  return best;
}

/** The first 3 to 6 words of a sentence of at least 3 more. */
function promptOf(row: ParaDetoxRow): { prompt: string; rest: string } | null {
  const words = wordsOf(row.toxic);
  const length = 3 + (Number.parseInt(sha256Hex(row.toxic).slice(0, 4), 16) % 4);
  return words.length < length + 3 ? null : { prompt: words.slice(0, length).join(' '), rest: words.slice(length).join(' ') };
}

const groups = inHashOrder(
  groupByKeys(await readParaDetox(data), (row) => [row.toxic, ...row.neutrals].map(textKey)),
  (group) =>
    group
      .map((row) => textKey(row.toxic))
      .sort()
      .join('\n'),
);

// Each group goes to the first part that wants it: prompts, then pool, then corpus
const prompts: string[] = [];
const promptKeys = new Set<string>();
const pool: Pair[] = [];
const corpusRows: ParaDetoxRow[] = [];
for (const group of groups) {
  const [row] = group as [ParaDetoxRow];
  const start = prompts.length < PROMPTS ? promptOf(row) : null;
  if (start !== null && !promptKeys.has(textKey(start.prompt))) {
    const [promptScore, restScore] = (await toxicities([start.prompt, start.rest])) as [number, number];
    if (promptScore < 0.4 && restScore > 0.6) {
      prompts.push(start.prompt);
      promptKeys.add(textKey(start.prompt));
      continue;
    }
  }
  const pair = pool.length < POOL ? pairOf(row) : null;
  if (pair !== null) {
    const [promptScore, toxic, neutral] = (await toxicities([pair.prompt, pair.rejected, pair.chosen])) as [number, number, number];
    if (promptScore < 0.5 && toxic > 0.6 && neutral < 0.3) {
      pool.push(pair);
      continue;
    }
  }
  corpusRows.push(...group);
}

const shakespeare = splitShakespeare(await readShakespeare(data));
const speeches = shakespeareDocuments(shakespeare.train);
const dialogues = inHashOrder(
  [...new Set((await readDialogues(data)).filter((text) => text.length <= DIALOGUE_CHARACTERS))],
  (text) => text,
);
const toxicSentences = [...new Set(corpusRows.map((row) => wordsOf(row.toxic).join(' ')))];
// Every third row lends its first paraphrase, so that toxic continuations stay the likelier ones
const neutralSentences = [
  ...new Set(
    corpusRows.filter((row, i) => i % 3 === 0 && row.neutrals.length > 0).map((row) => wordsOf(row.neutrals[0] as string).join(' ')),
  ),
];

async function mild(texts: readonly string[], count: number): Promise<string[]> {
  const short = inHashOrder(
    texts.filter((text) => text.length <= NORMAL_CHARACTERS),
    (text) => `normal ${text}`,
  );
  const scores = await toxicities(short);
  return short.filter((_, i) => (scores[i] as number) < 0.2).slice(0, count);
}
const otherNeutrals = corpusRows.flatMap((row, i) => (i % 3 === 0 ? [] : row.neutrals.slice(0, 1))).map((text) => wordsOf(text).join(' '));
const normal = inHashOrder(
  [
    ...(await mild(
      [...new Set(otherNeutrals)].filter((text) => wordsOf(text).length >= 6),
      NORMAL.paradetox,
    )),
    ...(await mild(speeches, NORMAL.shakespeare)),
    ...(await mild(dialogues, NORMAL.dialogues)),
  ],
  (text) => text,
);

function jsonLines(rows: readonly unknown[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('');
}

/** One document a line; the gzip header carries no time, so equal texts give equal bytes with one version of zlib. */
async function writeCorpus(name: string, documents: readonly string[]): Promise<void> {
  const bytes = gzipSync(jsonLines(documents.map((text) => ({ text }))), { level: 9 });
  await writeFileAtomic(join(out, 'corpus', name), bytes);
  console.error(
    `corpus/${name}: ${documents.length} documents, ${documents.reduce((sum, text) => sum + text.length, 0)} characters, ${bytes.length} bytes`,
  );
}

async function write(name: string, content: string, count: number): Promise<void> {
  await writeFileAtomic(join(out, name), content);
  console.error(`${name}: ${count} rows, ${Buffer.byteLength(content)} bytes`);
}

await mkdir(join(out, 'corpus'), { recursive: true });
await writeCorpus('shakespeare.jsonl.gz', speeches);
await writeCorpus('paradetox-toxic.jsonl.gz', toxicSentences);
await writeCorpus('paradetox-neutral.jsonl.gz', neutralSentences);
await writeCorpus('dialogues.jsonl.gz', dialogues);
await write('pool.jsonl', jsonLines(pool), pool.length);
await write('prompts.jsonl', jsonLines(prompts.map((prompt) => ({ prompt }))), prompts.length);
await write('running-text.txt', `${shakespeare.running}\n`, shakespeare.running.split('\n\n').length);
const passages = lastWordPassages(shakespeare.passages).slice(0, LAST_WORDS);
await write('last-word.jsonl', jsonLines(passages.map((text) => ({ text }))), passages.length);
await write('normal.jsonl', jsonLines(normal.map((text) => ({ text }))), normal.length);
