/** One repair example: what the model was asked, what it should say (D_R) and what it said (D_E). */
export interface PairRecord {
  /** `id` of the source, or the first 16 hexadecimal digits of `hash` */
  readonly id: string;
  /** SHA-256 of the raw line (or of the canonical JSON of a record that has no line) */
  readonly hash: string;
  readonly prompt: string;
  readonly chosen: string;
  /** null where the source has none; then only DAPT can use the record */
  readonly rejected: string | null;
  readonly gold?: string;
  readonly groupId?: string;
  /** Token ids of a pre-tokenised source; texts are then empty strings */
  readonly promptIds?: readonly number[];
  readonly chosenIds?: readonly number[];
  readonly rejectedIds?: readonly number[];
  /** Scores that came with the record, e.g. `toxicity` */
  readonly scores?: Readonly<Record<string, number>>;
  /** Where the record was read: `file:line` */
  readonly source: string;
  /** The raw line, for the paper preset's embedding */
  readonly raw: string;
}

/** The window of a shuffled pool that selection works on, and what validation holds back (domain: building the pool). */
export interface Pool {
  readonly name: string;
  readonly records: readonly PairRecord[];
  readonly validation: readonly PairRecord[];
  /** SHA-256 of the window's record hashes in order */
  readonly hash: string;
  /** Appended to completions when tokenised: true for TRL and ParaDetox, false for dpo_toxic */
  readonly appendEos: boolean;
  readonly dataSeed: number;
  readonly warnings: readonly string[];
}
