// Keep the K most toxic records of a JSON-lines stream of any size: memory grows with K, not with the stream.
//
//   zcat pool.jsonl.gz | node examples/stream-select.mjs 1000 > hardest.jsonl
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { builtinScorer } from 'mendset';

const keep = Number(process.argv[2] ?? 100);
const scorer = await builtinScorer();

/** Lines in groups: one call of the scorer for each. */
async function* batches(lines, size = 256) {
  const batch = [];
  for await (const line of lines) {
    if (line.trim() !== '') batch.push(line);
    if (batch.length === size) yield batch.splice(0);
  }
  if (batch.length > 0) yield batch;
}

/** Each line with the score of its rejected text; lines that have none pass with -1. */
async function* scored(source) {
  for await (const batch of source) {
    const labels = await scorer.score(batch.map((line) => JSON.parse(line).rejected ?? ''));
    for (const [i, line] of batch.entries()) yield { line, score: Math.max(-1, ...Object.values(labels[i] ?? {})) };
  }
}

/** The K best so far, earlier ones first among equals; trimmed when twice as many have gathered. */
async function* top(source) {
  let best = [];
  const trim = () => {
    best = best.sort((a, b) => b.score - a.score || a.index - b.index).slice(0, keep);
  };
  let index = 0;
  for await (const record of source) {
    best.push({ ...record, index: index++ });
    if (best.length >= 2 * keep) trim();
  }
  trim();
  yield* best.map(({ line }) => `${line}\n`);
}

await pipeline(batches(createInterface({ input: process.stdin })), scored, top, async (lines) => {
  for await (const line of lines) if (!process.stdout.write(line)) await once(process.stdout, 'drain');
});
