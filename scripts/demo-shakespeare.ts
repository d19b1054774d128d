const heldOutShare = 0.2;
const runningCharacters = 72_000;
const documentCharacters = 380;

/** Tiny Shakespeare in three parts that follow each other: training, running text, and the source of last-word passages. */
export function splitShakespeare(text: string): { readonly train: string; readonly running: string; readonly passages: string } {
  const whole = text.trim();
  const begin = speechAfter(whole, Math.floor(whole.length * (1 - heldOutShare)));
  const middle = speechAfter(whole, begin + runningCharacters);
  return { train: whole.slice(0, begin).trim(), running: whole.slice(begin, middle).trim(), passages: whole.slice(middle).trim() };
}

/** Speeches joined until a document has at least 380 characters. */
export function shakespeareDocuments(text: string): string[] {
  const documents: string[] = [];
  let current = '';
  for (const speech of text.split('\n\n')) {
    current = current === '' ? speech : `${current}\n\n${speech}`;
    if (current.length < documentCharacters) continue;
    documents.push(current);
    current = '';
  }
  if (current !== '') documents.push(current);
  return documents;
}

/**
 * Passages in the manner of LAMBADA: each begins with a speech and ends, without punctuation, at the last word of a sentence. That
 * word has at least four letters, follows a space on its line and occurs earlier in the passage. Passages don't overlap.
 */
export function lastWordPassages(text: string): string[] {
  const passages: string[] = [];
  const words = [...text.matchAll(/\S+/g)].map((match) => ({ text: match[0], start: match.index }));
  const startsSpeech = (i: number): boolean => {
    const at = words[i]?.start ?? -1;
    return at === 0 || text.slice(at - 2, at) === '\n\n';
  };
  for (let first = 0; first < words.length; ) {
    let taken = -1;
    for (let last = first + 18; last < Math.min(first + 64, words.length); last++) {
      const word = words[last] as { text: string; start: number };
      const plain = /^([A-Za-z]{4,})[.?!]$/.exec(word.text)?.[1];
      if (plain === undefined || text[word.start - 1] !== ' ') continue;
      const earlier = words
        .slice(first, last - 3)
        .some((other) => other.text.replace(/^[^A-Za-z]+|[^A-Za-z]+$/g, '').toLowerCase() === plain.toLowerCase());
      if (!earlier) continue;
      passages.push(text.slice((words[first] as { start: number }).start, word.start + plain.length));
      taken = last;
      break;
    }
    first = taken < 0 ? first + 1 : taken + 1;
    while (first < words.length && !startsSpeech(first)) first++;
  }
  return passages;
}

function speechAfter(text: string, position: number): number {
  const at = text.indexOf('\n\n', position);
  return at < 0 ? text.length : at + 2;
}
