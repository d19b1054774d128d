import type { RunOptions } from '../core/run-options.ts';

/** Who gave a score. Numbers of different identities are never compared, averaged or plotted together. */
export interface ScorerIdentity {
  readonly name: string;
  readonly version: string;
  /** SHA-256 of all that decides a score: the weights with tokenizer and labels, or the scores file */
  readonly weightsHash: string;
  readonly labels: readonly string[];
  readonly activation: 'sigmoid' | 'softmax' | 'none';
}

/** A plug-in that rates texts. Scores lie in [0, 1]; a text that could not be rated is null, never 0. */
export interface ToxicityScorer {
  readonly identity: ScorerIdentity;
  score(texts: readonly string[], options?: RunOptions): Promise<(Readonly<Record<string, number>> | null)[]>;
  /** Releases what the scorer holds, e.g. the weights of a classifier. Idempotent. */
  dispose?(): void;
}
