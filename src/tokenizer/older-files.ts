import type { SpecialTokens } from './special-tokens.ts';
import type { Json } from './tokenizer-json.ts';
import { parseVocabulary } from './vocabulary.ts';

/** What a tokenizer.json would say, made from the files that models had before it. */

/** `vocab.json` and `merges.txt`: the byte-level BPE of GPT-2 (published as `encoder.json` and `vocab.bpe`) and of RoBERTa. */
export function byteLevelJson(
  vocabularyFile: { readonly path: string; readonly json: unknown },
  merges: string,
  addedFile: { readonly path: string; readonly json: unknown } | null,
  special: SpecialTokens,
): Json {
  const vocabulary = parseVocabulary(vocabularyFile.json, vocabularyFile.path);
  const added = new Map<string, { id: number; lstrip: boolean }>();
  if (addedFile !== null)
    for (const [content, id] of parseVocabulary(addedFile.json, addedFile.path)) added.set(content, { id, lstrip: false });
  const add = (content: string, lstrip: boolean): void => {
    const id = added.get(content)?.id ?? vocabulary.get(content);
    if (id !== undefined) added.set(content, { id, lstrip });
  };
  add('<|endoftext|>', false);
  for (const { content, lstrip } of special.tokens.values()) add(content, lstrip);
  const roberta = special.modelType === 'roberta' || /^Roberta/.test(String(special.settings['tokenizer_class'] ?? ''));
  let postProcessor: Json | null = null;
  if (roberta) {
    for (const content of ['<s>', '<pad>', '</s>', '<unk>']) if (!added.has(content)) add(content, false);
    // The mask takes the space before it along, whatever the small files say
    add(special.tokens.get('mask_token')?.content ?? '<mask>', true);
    const cls = special.tokens.get('cls_token')?.content ?? '<s>';
    const sep = special.tokens.get('sep_token')?.content ?? '</s>';
    postProcessor = { type: 'RobertaProcessing', cls: [cls, vocabulary.get(cls)], sep: [sep, vocabulary.get(sep)] };
  }
  const lines = merges.split('\n').map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  return {
    added_tokens: [...added].map(([content, { id, lstrip }]) => ({ id, content, lstrip, normalized: false, special: true })),
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: special.settings['add_prefix_space'] === true, use_regex: true },
    post_processor: postProcessor,
    decoder: { type: 'ByteLevel' },
    model: {
      type: 'BPE',
      vocab: vocabularyFile.json,
      merges: lines.filter((line, i) => line !== '' && !(i === 0 && line.startsWith('#version'))),
    },
  };
}

/** `vocab.txt`: BERT's WordPiece, one token a line. */
export function wordPieceJson(vocabularyText: string, special: SpecialTokens): Json {
  const { settings } = special;
  const lines = vocabularyText.split('\n').map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  if (lines.at(-1) === '') lines.pop();
  const vocabulary: Record<string, number> = Object.create(null) as Record<string, number>;
  // A token that comes twice keeps its last line, as in the reference
  for (const [id, token] of lines.entries()) vocabulary[token] = id;
  const token = (role: string, usual: string): string => special.tokens.get(role)?.content ?? usual;
  const [unknown, cls, sep] = [token('unk_token', '[UNK]'), token('cls_token', '[CLS]'), token('sep_token', '[SEP]')];
  const added = [token('pad_token', '[PAD]'), unknown, cls, sep, token('mask_token', '[MASK]')];
  return {
    added_tokens: [...new Set(added)]
      .filter((content) => vocabulary[content] !== undefined)
      .map((content) => ({ id: vocabulary[content], content, normalized: false, special: true })),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: settings['tokenize_chinese_chars'] !== false,
      strip_accents: settings['strip_accents'] ?? null,
      lowercase: settings['do_lower_case'] !== false,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: { type: 'BertProcessing', cls: [cls, vocabulary[cls]], sep: [sep, vocabulary[sep]] },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: { type: 'WordPiece', unk_token: unknown, continuing_subword_prefix: '##', max_input_chars_per_word: 100, vocab: vocabulary },
  };
}
