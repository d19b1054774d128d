import { MendsetError } from '../core/errors.ts';
import type { PairRecord } from '../data/record.ts';
import type { LanguageModel } from '../model/language-model.ts';
import { completionSequence, type TokenSequence } from '../model/sequences.ts';

/** Tokens that count: the completion's, or every one but the first. */
export type CountedTokens = 'completion' | 'all';

const LONGEST = 1024;

/** Tokens of a record that a model reads at once. */
export function tokenLimit(model: LanguageModel): number {
  return Math.min(LONGEST, model.summary.context);
}

/** Places of the sequences that have a counted token; the others cannot be scored. */
export function scorable(sequences: readonly TokenSequence[]): number[] {
  return sequences.flatMap((s, i) => (s.mask.indexOf(1, 1) >= 1 ? [i] : []));
}

/** Prompt and chosen text of each record, as repair would read them. All problems come in one `invalid-data`. */
export function chosenSequences(
  model: LanguageModel,
  records: readonly PairRecord[],
  appendEos: boolean,
  mask: CountedTokens,
): TokenSequence[] {
  const eos = endOfText(model);
  return collect(model, records, (record) => {
    const chosen = ids(model, record.chosenIds, record.chosen, false);
    const completion = appendEos && eos !== null ? Int32Array.from([...chosen, eos]) : chosen;
    return completionSequence(ids(model, record.promptIds, record.prompt, 'before'), completion, { total: tokenLimit(model), eos, mask });
  });
}

/** The published GraNd text: prompt, a space and the original continuation, encoded as one; the prompt's own length is masked. */
export function goldSequences(model: LanguageModel, records: readonly PairRecord[]): TokenSequence[] {
  const tokenizer = model.requireTokenizer();
  return collect(model, records, (record) => {
    if (record.gold === undefined)
      throw new MendsetError('invalid-data', "the paper preset scores the gold text and the record has none; use preset 'principled'");
    const whole = tokenizer.encode(`${record.prompt} ${record.gold}`, { specials: 'before' }).slice(0, tokenLimit(model));
    const mask = new Uint8Array(whole.length);
    mask.fill(1, Math.max(1, tokenizer.encode(record.prompt, { specials: 'before' }).length));
    return { ids: whole, mask };
  });
}

/** The text an embedding stands for: prompt, chosen and rejected joined by line feeds, or the raw line. Its start is kept. */
export function embeddingSequences(model: LanguageModel, records: readonly PairRecord[], text: 'pair' | 'raw-line'): TokenSequence[] {
  const eos = endOfText(model);
  return collect(model, records, (record) => {
    let all: Int32Array;
    if (text === 'pair' && record.chosenIds) {
      all = Int32Array.from([...(record.promptIds ?? []), ...record.chosenIds, ...(record.rejectedIds ?? [])]);
    } else {
      all = model.requireTokenizer().encode(text === 'raw-line' ? record.raw : pairText(record), { specials: 'before' });
    }
    if (all.length === 0) {
      if (eos === null) throw new MendsetError('invalid-data', 'the record has no text to embed');
      all = Int32Array.of(eos);
    }
    const kept = all.slice(0, tokenLimit(model));
    return { ids: kept, mask: new Uint8Array(kept.length).fill(1, 1) };
  });
}

/** Prompt, chosen and rejected, joined by line feeds. */
export function pairText(record: PairRecord): string {
  return [record.prompt, record.chosen, ...(record.rejected === null ? [] : [record.rejected])].join('\n');
}

function collect(model: LanguageModel, records: readonly PairRecord[], make: (record: PairRecord) => TokenSequence): TokenSequence[] {
  // one sentence instead of one for each record
  if (records.some((r) => r.chosenIds === undefined)) model.requireTokenizer();
  const problems: string[] = [];
  const sequences: TokenSequence[] = [];
  for (const record of records) {
    try {
      sequences.push(requireVocabulary(make(record), model.summary.vocab));
    } catch (error) {
      if (!(error instanceof MendsetError)) throw error;
      problems.push(`${record.source} (${record.id}): ${error.message}`);
    }
  }
  if (problems.length > 0) {
    const rest = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
    throw new MendsetError('invalid-data', `Expected records that can be tokenised but ${problems[0]}${rest}.`, { problems });
  }
  return sequences;
}

function requireVocabulary(sequence: TokenSequence, vocab: number): TokenSequence {
  const wrong = sequence.ids.find((id) => id < 0 || id >= vocab);
  if (wrong === undefined) return sequence;
  throw new MendsetError('invalid-data', `token id ${wrong} is outside the model's vocabulary of ${vocab}`);
}

function ids(model: LanguageModel, given: readonly number[] | undefined, text: string, specials: false | 'before'): Int32Array {
  return given ? Int32Array.from(given) : model.requireTokenizer().encode(text, { specials });
}

function endOfText(model: LanguageModel): number | null {
  return model.tokenizer?.eos ?? (model.summary.eos >= 0 ? model.summary.eos : null);
}
