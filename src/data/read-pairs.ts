import { MendsetError } from '../core/errors.ts';
import { sha256Hex } from '../core/hash.ts';
import type { RunOptions } from '../core/run-options.ts';
import { dataFiles, refuseOtherFormats } from './data-files.ts';
import { pairFields } from './pair-fields.ts';
import { paraDetoxFields } from './paradetox.ts';
import { DataProblems, describeJson } from './problems.ts';
import type { PairRecord } from './record.ts';
import { type ColumnNames, type DataRow, forEachRow, ROW_ENDINGS } from './rows.ts';
import { WellFormed } from './well-formed.ts';

export interface ReadPairsOptions extends RunOptions {
  /** ParaDetox: one record for each neutral paraphrase, sharing `groupId`, instead of the first alone */
  readonly expand?: boolean;
  /** Which column of the files is meant by a field, e.g. `{ prompt: 'question', chosen: 'answer' }` */
  readonly columns?: ColumnNames | undefined;
}

/** The records of one or more files in file order, with what was left out or changed. */
export interface PairSet {
  readonly records: readonly PairRecord[];
  readonly files: readonly string[];
  /** true: completions are to be followed by an end-of-text token (TRL, ParaDetox); false for dpo_toxic and token ids */
  readonly appendEos: boolean;
  /** Records whose raw line occurred before; they are kept here, see `dedupe` of `buildPool` */
  readonly duplicates: number;
  /** Records without a chosen completion, which are left out */
  readonly emptyChosen: number;
  /** Records whose completions are equal: they teach DPO nothing, and it leaves them out */
  readonly equalPairs: number;
  /** Texts in which lone surrogates were replaced by U+FFFD */
  readonly replacedSurrogates: number;
  readonly warnings: readonly string[];
}

/**
 * Reads repair pairs from JSON lines, CSV, TSV (ParaDetox's among them), each also with `.gz`, Parquet, or a text of one example a line. A
 * folder stands for its files sorted by the bytes of their names, `hf:datasets/owner/name/file` for what is fetched from the Hub; a list
 * keeps its order. See `pairFields` for the sets of fields that are understood, `columns` for tables of other names.
 * Throws `invalid-data` with up to twenty mistakes, each with file:line (Parquet: file:row), before anything else is done.
 *
 * @example
 * const pairs = await readPairs('data/toxicity_pairwise');
 */
export async function readPairs(paths: string | readonly string[], options: ReadPairsOptions = {}): Promise<PairSet> {
  const files = await dataFiles(paths, ROW_ENDINGS, options);
  const reader = new PairReader();
  for (const file of files) {
    refuseOtherFormats(file);
    await forEachRow(
      file,
      (row) => reader.addRow(row, options.expand === true),
      (where, problem) => reader.problems.add(where, problem),
      options,
    );
  }
  return reader.finish(files);
}

class PairReader {
  readonly problems = new DataProblems();
  private readonly records: PairRecord[] = [];
  private readonly wellFormed = new WellFormed();
  private readonly hashes = new Set<string>();
  private appendEos: boolean | null = null;
  private rows = 0;
  private emptyChosen = 0;
  private equalPairs = 0;
  private duplicates = 0;

  addRow(line: DataRow, expand: boolean): void {
    this.rows++;
    const paraphrases = paraDetoxFields(line.value);
    if (paraphrases !== null) {
      this.addParaDetox(paraphrases, line.source, expand);
      return;
    }
    const fields = pairFields(line.value);
    if ('problem' in fields) {
      this.problems.add(line.source, fields.problem);
      return;
    }
    const { format, prompt, chosen, rejected, ...ids } = fields;
    const scores = rowScores(line.value);
    if (typeof scores === 'string') {
      this.problems.add(line.source, scores);
      return;
    }
    const hash = sha256Hex(line.raw);
    const gold = line.value['gold_text'] ?? line.value['gold'];
    const groupId = line.value['group_id'] ?? line.value['groupId'];
    this.add(
      {
        id: rowId(line.value['id']) ?? hash.slice(0, 16),
        hash,
        prompt: this.wellFormed.text(prompt),
        chosen: this.wellFormed.text(chosen),
        rejected: rejected === null ? null : this.wellFormed.text(rejected),
        ...(typeof gold === 'string' ? { gold: this.wellFormed.text(gold) } : {}),
        ...(rowId(groupId) === null ? {} : { groupId: rowId(groupId) as string }),
        ...ids,
        ...(scores === null ? {} : { scores }),
        source: line.source,
        raw: line.raw,
      },
      format !== 'dpo-toxic' && format !== 'token-ids',
    );
  }

  private addParaDetox({ toxic, neutrals }: { toxic: string; neutrals: readonly string[] }, source: string, expand: boolean): void {
    const rejected = this.wellFormed.text(toxic);
    const groupId = sha256Hex(rejected).slice(0, 16);
    if (neutrals.length === 0) this.emptyChosen++;
    for (const neutral of expand ? neutrals : neutrals.slice(0, 1)) {
      const chosen = this.wellFormed.text(neutral);
      const raw = JSON.stringify({ chosen, prompt: '', rejected });
      const hash = sha256Hex(raw);
      this.add({ id: hash.slice(0, 16), hash, prompt: '', chosen, rejected, ...(expand ? { groupId } : {}), source, raw }, true);
    }
  }

  finish(files: readonly string[]): PairSet {
    this.problems.throwIfAny();
    if (this.records.length === 0) {
      throw new MendsetError(
        'invalid-data',
        this.rows === 0
          ? `Expected at least one record in ${files.map((file) => `'${file}'`).join(', ')} but found only blank lines.`
          : `Expected at least one record with a chosen completion in ${files.map((file) => `'${file}'`).join(', ')} but all ${this.rows} are empty.`,
      );
    }
    const warnings = this.wellFormed.warnings();
    if (this.duplicates > 0) warnings.push(`${this.duplicates} records repeat an earlier one exactly.`);
    if (this.emptyChosen > 0) warnings.push(`${this.emptyChosen} records without a chosen completion were left out.`);
    if (this.equalPairs > 0) warnings.push(`${this.equalPairs} records have equal chosen and rejected completions.`);
    return {
      records: this.records,
      files,
      appendEos: this.appendEos ?? true,
      duplicates: this.duplicates,
      emptyChosen: this.emptyChosen,
      equalPairs: this.equalPairs,
      replacedSurrogates: this.wellFormed.replaced,
      warnings,
    };
  }

  private add(record: PairRecord, appendEos: boolean): void {
    if (this.appendEos === null) this.appendEos = appendEos;
    if (this.appendEos !== appendEos) {
      this.problems.add(
        record.source,
        'expected records of one kind, but dpo_toxic or token-id records (no end-of-text token is added) are mixed with others (one is added); read them apart',
      );
      return;
    }
    if (record.chosenIds === undefined ? record.chosen === '' : record.chosenIds.length === 0) {
      this.emptyChosen++;
      return;
    }
    const equal =
      record.chosenIds === undefined ? record.chosen === record.rejected : String(record.chosenIds) === String(record.rejectedIds);
    if (equal) this.equalPairs++;
    if (this.hashes.has(record.hash)) this.duplicates++;
    this.hashes.add(record.hash);
    this.records.push(record);
  }
}

function rowId(value: unknown): string | null {
  if (typeof value === 'string' && value !== '') return value;
  return typeof value === 'number' ? String(value) : null;
}

/** `scores: {label: number}` and a number `toxicity`; null when the row has neither, a sentence when they are no numbers. */
function rowScores(row: Readonly<Record<string, unknown>>): Readonly<Record<string, number>> | string | null {
  const scores: Record<string, number> = {};
  const given = row['scores'];
  if (typeof given === 'object' && given !== null && !Array.isArray(given)) {
    for (const [label, score] of Object.entries(given)) {
      if (score === null) continue;
      if (typeof score !== 'number') return `expected a number as score '${label}' but found ${describeJson(score)}`;
      scores[label] = score;
    }
  } else if (given !== undefined && given !== null) return `expected an object of numbers as 'scores' but found ${describeJson(given)}`;
  if (typeof row['toxicity'] === 'number') scores['toxicity'] = row['toxicity'];
  return Object.keys(scores).length === 0 ? null : scores;
}
