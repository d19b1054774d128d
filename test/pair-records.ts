import { createHash } from 'node:crypto';
import type { PairRecord } from '../src/data/record.ts';

const SUBJECTS = ['The cat', 'My friend', 'That driver', 'Our team', 'The old man', 'A stranger'];
const KIND = [' is kind', ' is helpful', ' did well', ' was patient'];
const RUDE = [' is awful', ' is a fool', ' did badly', ' was nasty'];

/** Small made-up pairs: a polite and a rude ending for each prompt. */
export function pairRecords(count: number, first = 0): PairRecord[] {
  return Array.from({ length: count }, (_, k) => {
    const i = first + k;
    const prompt = `${SUBJECTS[i % SUBJECTS.length]} ${i}`;
    const chosen = `${KIND[i % 4]} today.`;
    const rejected = `${RUDE[(i >> 1) % 4]} ${i % 3}!`;
    return pairRecord({ prompt, chosen, rejected }, i);
  });
}

export function pairRecord(fields: Partial<PairRecord>, line = 0): PairRecord {
  const raw = JSON.stringify({ prompt: fields.prompt ?? '', chosen: fields.chosen ?? '', rejected: fields.rejected ?? null });
  const hash = createHash('sha256').update(raw).digest('hex');
  return { id: hash.slice(0, 16), hash, prompt: '', chosen: '', rejected: null, source: `pairs.jsonl:${line + 1}`, raw, ...fields };
}
