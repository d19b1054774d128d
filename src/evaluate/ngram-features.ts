/**
 * Words of a text as the built-in scorer sees them: lower case, without addresses, mentions, retweet marks, character references,
 * punctuation and apostrophes; letters three or more times in a row are kept twice; digits and signs that stand for letters inside
 * a word are read as those letters. Nothing that tells one data source from another is to remain.
 */
export function scorerWords(text: string): string[] {
  const plain = text
    .normalize('NFKC')
    .toLowerCase()
    .replace(/https?:\/\/\S*|www\.\S+/g, ' ')
    .replace(/&#?\w+;/g, ' ')
    .replace(/(^|[^\p{L}\p{N}])@[\w.]+:?/gu, '$1 ')
    .replace(/(^|\s)rt(?=\s)/g, '$1 ')
    // "do n't" and "that 's" of tokenised sources are "don't" and "that's"
    .replace(/ (?=n['\u2019]t\b|['\u2019](?:s|re|ve|ll|d|m)\b)/g, '')
    .replace(/['\u2019`]/g, '')
    .replace(/(\S)\1{2,}/gu, '$1$1');
  const words: string[] = [];
  for (const match of plain.matchAll(/[\p{L}\p{N}@$!*]+/gu)) {
    const word = readSigns(match[0]);
    if (word !== '') words.push(word);
  }
  return words;
}

const letterOf: Readonly<Record<string, string>> = { '@': 'a', 4: 'a', 3: 'e', 1: 'i', '!': 'i', 0: 'o', $: 's', 5: 's', 7: 't' };

/** `a$$` is `ass`, `sh1t` is `shit`, `7th`, `2004` and `stop!!` are not changed beyond losing their signs. */
function readSigns(word: string): string {
  const body = word.replace(/^[!*@]+|[!*@]+$/g, '');
  if (!/\p{L}/u.test(body)) return body.replace(/[@$!*]/g, '');
  return /^\d+\p{L}{1,2}$/u.test(body) ? body : body.replace(/[@43!10$57]/g, (sign) => letterOf[sign] as string);
}

const fnvPrime = 0x01000193;

/**
 * Hashes the n-grams of words (words of 1 and 2; characters of 2 to 5 inside ` word `) into 2^`bits` buckets and hands each
 * occurrence to `visit`. Returns the number of occurrences. FNV-1a over UTF-16 units with a final mix.
 */
export function forEachNgram(words: readonly string[], bits: number, visit: (bucket: number) => void): number {
  const shift = 32 - bits;
  let count = 0;
  let previous = '';
  const emit = (kind: number, part: string, start: number, end: number): void => {
    let hash = Math.imul(0x811c9dc5 ^ kind, fnvPrime);
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ part.charCodeAt(i), fnvPrime);
    hash ^= hash >>> 15;
    visit(Math.imul(hash, 0x2c1b3c6d) >>> shift);
    count++;
  };
  for (const word of words) {
    emit(1, word, 0, word.length);
    if (previous !== '') {
      const pair = `${previous} ${word}`;
      emit(2, pair, 0, pair.length);
    }
    previous = word;
    const padded = ` ${word} `;
    for (let length = 2; length <= 5; length++) {
      for (let start = 0; start + length <= padded.length; start++) emit(3, padded, start, start + length);
    }
  }
  return count;
}
