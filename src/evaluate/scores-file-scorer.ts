import { basename } from 'node:path';

import { MendsetError } from '../core/errors.ts';
import { sha256File } from '../core/hash.ts';
import type { RunOptions } from '../core/run-options.ts';
import { throwIfAborted } from '../core/run-options.ts';
import { forEachJsonLine } from '../data/lines.ts';
import { DataProblems, describeJson } from '../data/problems.ts';
import type { ToxicityScorer } from './scorer.ts';

type Scores = Readonly<Record<string, number>>;

/**
 * Scores that were computed elsewhere: JSON lines `{text, score}`, `{text, toxicity}` or `{text, labels: {label: number}}`, in [0, 1]
 * (`score` is the label `toxicity`). A text that the file lacks, or whose score is null there, is null. Texts must match exactly.
 * Throws `invalid-data` with file:line, also where a text has two different scores.
 */
export async function scoresFileScorer(path: string): Promise<ToxicityScorer> {
  const byText = new Map<string, Scores | null>();
  const labels = new Set<string>();
  const problems = new DataProblems();
  await forEachJsonLine(
    path,
    ({ value, source }) => {
      const text = value['text'];
      if (typeof text !== 'string') {
        problems.add(source, `expected a text as 'text' but found ${describeJson(text)}`);
        return;
      }
      const scores = scoresOf(value);
      if (typeof scores === 'string') {
        problems.add(source, scores);
        return;
      }
      const known = byText.get(text);
      if (known !== undefined && JSON.stringify(known) !== JSON.stringify(scores)) {
        problems.add(source, 'expected one score for each text but this text has another score above');
        return;
      }
      byText.set(text, scores);
      for (const label of Object.keys(scores ?? {})) labels.add(label);
    },
    (where, problem) => problems.add(where, problem),
  );
  problems.throwIfAny();
  if (labels.size === 0) throw new MendsetError('invalid-data', `Expected at least one score in '${path}' but found none.`);
  return {
    identity: {
      name: `scores-file:${basename(path)}`,
      version: '1',
      weightsHash: await sha256File(path),
      labels: [...labels],
      activation: 'none',
    },
    async score(texts: readonly string[], options: RunOptions = {}): Promise<(Scores | null)[]> {
      throwIfAborted(options.signal);
      return texts.map((text) => byText.get(text) ?? null);
    },
  };
}

/** The scores of a row, null for a row that says it has none, or a sentence about what is wrong. */
function scoresOf(row: Readonly<Record<string, unknown>>): Scores | null | string {
  let given: Readonly<Record<string, unknown>>;
  if (typeof row['labels'] === 'object' && row['labels'] !== null && !Array.isArray(row['labels']))
    given = row['labels'] as Record<string, unknown>;
  else if ('score' in row) given = { toxicity: row['score'] };
  else if ('toxicity' in row) given = { toxicity: row['toxicity'] };
  else return `expected 'score', 'toxicity' or 'labels' but found ${describeJson(row)}`;
  const scores: Record<string, number> = {};
  for (const [label, score] of Object.entries(given)) {
    if (score === null) return null;
    if (typeof score !== 'number' || !(score >= 0 && score <= 1))
      return `expected a number from 0 to 1 as '${label}' but found ${describeJson(score)}`;
    scores[label] = score;
  }
  return scores;
}
