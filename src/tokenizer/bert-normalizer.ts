import type { Normalizer } from './normalizer.ts';
import type { Json } from './tokenizer-json.ts';

// Blocks of ideographs, which BERT reads one by one; Hangul, Hiragana and Katakana are not among them
const ideographs =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;
const controls = /(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}\ufffd]+/gu;
const spaces = /\p{White_Space}/gu;

/** BERT's clean-up in its order: controls and white space, ideographs, accents, case. Accents go with the case unless said otherwise. */
export function bertNormalizer(options: Json): Normalizer {
  const clean = options['clean_text'] !== false;
  const spaced = options['handle_chinese_chars'] !== false;
  const lower = options['lowercase'] !== false;
  const strip = typeof options['strip_accents'] === 'boolean' ? options['strip_accents'] : lower;
  return (text) => {
    if (clean) text = text.replace(controls, '').replace(spaces, ' ');
    if (spaced) text = text.replace(ideographs, ' $& ');
    if (strip) text = text.normalize('NFD').replace(/\p{Mn}+/gu, '');
    return lower ? lowerCase(text) : text;
  };
}

/** Lower case of each character by itself; JavaScript alone looks at what follows a capital sigma. */
export function lowerCase(text: string): string {
  return text.includes('\u03a3')
    ? text
        .split('\u03a3')
        .map((part) => part.toLowerCase())
        .join('\u03c3')
    : text.toLowerCase();
}
