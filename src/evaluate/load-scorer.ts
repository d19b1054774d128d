import { MendsetError } from '../core/errors.ts';
import { builtinScorer } from './builtin-scorer.ts';
import type { ToxicityScorer } from './scorer.ts';
import { scoresFileScorer } from './scores-file-scorer.ts';

/** Which scorer to use: the one that comes with the package, or a file of scores computed elsewhere. */
export type ScorerSpec = 'builtin' | { readonly scoresFile: string };

/**
 * Opens a scorer; a scorer of one's own is any object with the members of `ToxicityScorer` and needs no opening.
 *
 * @throws MendsetError `invalid-argument`, `not-found`, `invalid-data` with file:line
 * @example
 * const scorer = await loadScorer({ scoresFile: 'perspective.jsonl' });
 */
export async function loadScorer(spec: ScorerSpec): Promise<ToxicityScorer> {
  if (spec === 'builtin') return builtinScorer();
  if (typeof spec === 'object' && spec !== null && typeof spec.scoresFile === 'string') return scoresFileScorer(spec.scoresFile);
  throw new MendsetError('invalid-argument', `Expected 'builtin' or { scoresFile } as scorer but received ${JSON.stringify(spec)}.`);
}
