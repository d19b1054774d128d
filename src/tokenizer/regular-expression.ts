import { patternOf, refuse } from './tokenizer-json.ts';

// Spelled out because JavaScript means something else by the short forms: its \s has U+FEFF and lacks U+0085, its \d and \w are ASCII.
const classes: Readonly<Record<string, string>> = {
  s: '\\p{White_Space}',
  d: '\\p{Nd}',
  w: '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}',
};
const scripts = new Set('Han Hiragana Katakana Hangul Latin Cyrillic Greek Arabic Hebrew Thai Devanagari Bopomofo'.split(' '));

/**
 * The pattern at `json` as a global regular expression of JavaScript. Patterns of a tokenizer.json are written for Oniguruma: its
 * `\s`, `\d`, `\w`, `.`, script names and groups that ignore case are translated, so that Node 20 reads them; whatever else differs is refused as `unsupported`.
 */
export function compilePattern(json: unknown, path: string, what: string): RegExp {
  const { text, regex } = patternOf(json, path, what);
  if (!regex) return new RegExp(text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'), 'gu');
  try {
    return new RegExp(translate(text), 'gu');
  } catch {
    throw refuse(path, `a pattern that JavaScript has no equal of (${text})`);
  }
}

/** Oniguruma to JavaScript with the flag `u`. Throws on what has no equal; the caller says where. */
export function translate(pattern: string): string {
  let out = '';
  let inClass = false;
  /** For each open group whether letters in it match both cases */
  const ignoreCase: boolean[] = [];
  for (let at = 0; at < pattern.length; ) {
    const character = pattern[at] as string;
    const bothCases = ignoreCase.at(-1) === true;
    if (character === '\\') {
      const [text, length] = translateEscape(pattern.slice(at), inClass);
      out += text;
      at += length;
      continue;
    }
    if (inClass) {
      if (character === '[' || pattern.startsWith('&&', at)) throw new SyntaxError('set operations');
      if (character === ']') inClass = false;
      if (bothCases && character === '-') throw new SyntaxError('range that ignores case');
      out += bothCases && /[a-z]/i.test(character) ? bothCasesOf(character) : character;
      at++;
      continue;
    }
    if (character === '(') {
      const flags = /^\(\?([a-z]+)([:)])/.exec(pattern.slice(at));
      if (flags) {
        if (flags[1] !== 'i' || flags[2] !== ':') throw new SyntaxError('inline flags');
        ignoreCase.push(true);
        out += '(?:';
        at += 4;
        continue;
      }
      if (pattern.startsWith('(?>', at)) throw new SyntaxError('atomic group');
      ignoreCase.push(bothCases);
      out += character;
      at++;
      continue;
    }
    if (character === ')') ignoreCase.pop();
    if (character === '[') {
      inClass = true;
      out += character;
      at++;
      if (pattern[at] === '^') out += pattern[at++];
      continue;
    }
    // A quantifier behind a quantifier gives nothing back; ^ and $ stand for lines
    if (character === '+' && /[*+?}]$/.test(out) && !/\\[*+?}]$|\\[pPu]\{[^}]*\}$/.test(out)) throw new SyntaxError('possessive');
    if (character === '^') throw new SyntaxError('beginning of a line');
    if (character === '$') {
      out += '(?![^\\n])';
      at++;
      continue;
    }
    if (character === '.') {
      out += '[^\\n]';
      at++;
      continue;
    }
    out += bothCases && /[a-z]/i.test(character) ? `[${bothCasesOf(character)}]` : character;
    at++;
  }
  return out;
}

function translateEscape(rest: string, inClass: boolean): [text: string, length: number] {
  const next = rest[1] ?? '';
  const own = classes[next];
  if (own !== undefined) return [inClass ? own : `[${own}]`, 2];
  const negated = classes[next.toLowerCase()];
  if (negated !== undefined) {
    // A negated set inside a set has no equal unless it is one property
    if (inClass && next !== 'S') throw new SyntaxError('negated class in a set');
    return [inClass ? '\\P{White_Space}' : `[^${negated}]`, 2];
  }
  const property = /^\\([pP])\{(\^?)(\w+)\}/.exec(rest);
  if (property) {
    const [all, kind, caret, name] = property as unknown as [string, string, string, string];
    const negative = (kind === 'P') !== (caret === '^');
    return [`\\${negative ? 'P' : 'p'}{${scripts.has(name) ? `Script=${name}` : name}}`, all.length];
  }
  if (/[nrtfv]/.test(next)) return [`\\${next}`, 2];
  const code = /^\\(?:u([0-9a-fA-F]{4})|x\{([0-9a-fA-F]{1,6})\}|x([0-9a-fA-F]{2}))/.exec(rest);
  if (code) return [`\\u{${code[1] ?? code[2] ?? code[3]}}`, code[0].length];
  if (/[A-Za-z0-9]/.test(next)) throw new SyntaxError(`\\${next}`);
  // With the flag u only syntax characters may be escaped
  return [/[\^$\\.*+?()[\]{}|/-]/.test(next) && (inClass || next !== '-') ? `\\${next}` : next, 2];
}

/** Both cases, and the long s and the Kelvin sign that fold to s and k. */
function bothCasesOf(letter: string): string {
  const lower = letter.toLowerCase();
  return `${lower}${lower.toUpperCase()}${lower === 's' ? '\u017f' : lower === 'k' ? '\u212a' : ''}`;
}
