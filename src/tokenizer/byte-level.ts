/**
 * The byte alphabet of GPT-2: each of the 256 bytes is written as one printable character, so that vocabularies are plain text.
 * Printable Latin-1 stands for itself; the other 68 bytes are U+0100 and up, in byte order.
 */
const characterOfByte: readonly string[] = (() => {
  const characters: string[] = [];
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    characters.push(String.fromCharCode(printable ? byte : next++));
  }
  return characters;
})();

const byteOfCharacter: ReadonlyMap<string, number> = new Map(characterOfByte.map((character, byte) => [character, byte]));

/** The character that stands for a byte (0 .. 255) in a byte-level vocabulary. */
export function byteToCharacter(byte: number): string {
  return characterOfByte[byte] as string;
}

/** Bytes as vocabulary text. */
export function bytesToSymbols(bytes: ArrayLike<number>): string {
  let text = '';
  for (let i = 0; i < bytes.length; i++) text += characterOfByte[bytes[i] as number];
  return text;
}

/** The bytes a vocabulary entry stands for; an entry with any other character stands for its own UTF-8, as in the reference. */
export function symbolsToBytes(token: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = byteOfCharacter.get(character);
    if (byte === undefined) return new TextEncoder().encode(token);
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

// JavaScript's \s differs from Unicode White_Space at U+FEFF and U+0085, so the property is spelled out.
const pieces =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/** Cuts a text into the pieces within which GPT-2 merges bytes. Concatenated, the pieces are the text. */
export function splitPieces(text: string): string[] {
  return text.match(pieces) ?? [];
}
