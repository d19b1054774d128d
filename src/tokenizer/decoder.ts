import { symbolsToBytes } from './byte-level.ts';
import { compilePattern } from './regular-expression.ts';
import { asList, asObject, type Json, refuse } from './tokenizer-json.ts';

/** Token texts to the parts of a text, which are then joined. */
export type Decoder = (tokens: readonly string[]) => readonly string[];

/** The `decoder` of a tokenizer.json: `bytes` for byte-level alone, null where there is none (tokens are joined by spaces). */
export function parseDecoder(json: unknown, path: string): Decoder | 'bytes' | null {
  if (json === null || json === undefined) return null;
  const decoder = asObject(json, path, '`decoder`');
  if (decoder['type'] === 'ByteLevel') return 'bytes';
  const steps = stepsOf(decoder, path);
  return (tokens) => steps.reduce((before, step) => step(before), tokens);
}

function stepsOf(json: Json, path: string): Decoder[] {
  switch (json['type']) {
    case 'Sequence':
      return asList(json['decoders'], path, '`decoders`').flatMap((step) => stepsOf(asObject(step, path, 'a decoder'), path));
    case 'ByteLevel':
      return [(tokens) => [utf8.decode(Buffer.concat(tokens.map(symbolsToBytes)))]];
    case 'Replace': {
      const pattern = compilePattern(json['pattern'], path, '`pattern`');
      const content = String(json['content']);
      return [(tokens) => tokens.map((token) => token.replace(pattern, () => content))];
    }
    case 'ByteFallback':
      return [decodeBytes];
    case 'Fuse':
      return [(tokens) => [tokens.join('')]];
    case 'Strip': {
      const content = String(json['content']);
      const [start, stop] = [Number(json['start'] ?? 0), Number(json['stop'] ?? 0)];
      return [(tokens) => tokens.map((token) => stripped(token, content, start, stop))];
    }
    case 'WordPiece':
      return [wordPiece(String(json['prefix'] ?? '##'), json['cleanup'] !== false)];
    case 'Metaspace': {
      const mark = typeof json['replacement'] === 'string' ? json['replacement'] : '▁';
      const marked = String(json['prepend_scheme'] ?? (json['add_prefix_space'] === false ? 'never' : 'always')) !== 'never';
      return [(tokens) => tokens.map((token, i) => token.replaceAll(mark, i === 0 && marked ? '' : ' '))];
    }
    case 'BPEDecoder': {
      const suffix = String(json['suffix'] ?? '</w>');
      return [(tokens) => tokens.map((token, i) => token.replaceAll(suffix, i === tokens.length - 1 ? '' : ' '))];
    }
    default:
      throw refuse(path, `a ${String(json['type'])} decoder`);
  }
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
const utf8Strict = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true });

/** Runs of `<0xNN>` become text; of a run that is no UTF-8 every byte becomes U+FFFD. */
function decodeBytes(tokens: readonly string[]): string[] {
  const out: string[] = [];
  let held: number[] = [];
  const flush = (): void => {
    if (held.length === 0) return;
    try {
      out.push(utf8Strict.decode(Uint8Array.from(held)));
    } catch {
      for (let i = 0; i < held.length; i++) out.push('\ufffd');
    }
    held = [];
  };
  for (const token of tokens) {
    const byte = /^<0x([0-9a-fA-F]{2})>$/.exec(token)?.[1];
    if (byte !== undefined) held.push(Number.parseInt(byte, 16));
    else {
      flush();
      out.push(token);
    }
  }
  flush();
  return out;
}

function stripped(token: string, content: string, start: number, stop: number): string {
  const characters = [...token];
  let from = 0;
  while (from < start && from < characters.length && characters[from] === content) from++;
  let to = characters.length;
  while (characters.length - to < stop && to > from && characters[to - 1] === content) to--;
  return characters.slice(from, to).join('');
}

const untidy: readonly (readonly [string, string])[] = [
  [' .', '.'],
  [' ?', '?'],
  [' !', '!'],
  [' ,', ','],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [' do not', " don't"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
];

function wordPiece(prefix: string, cleanup: boolean): Decoder {
  return (tokens) =>
    tokens.map((token, i) => {
      let text = i === 0 ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
      if (cleanup) for (const [from, to] of untidy) text = text.replaceAll(from, to);
      return text;
    });
}
