import { readFile } from 'node:fs/promises';
import { isMap, isScalar, LineCounter, type Node, parseDocument } from 'yaml';
import { MendsetError } from '../core/errors.ts';

/** A YAML file as a plain value, with the place of every key for error messages. */
export interface YamlFile {
  readonly path: string;
  readonly value: unknown;
  /** `file:line:column` of the value at `path`; of the key `key` inside it when given. Falls back to the nearest parent. */
  where(path: readonly PropertyKey[], key?: string): string;
}

/** Rejects with `not-found`, or `invalid-config` naming line and column of every syntax error. */
export async function readYamlFile(path: string): Promise<YamlFile> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new MendsetError(
      'not-found',
      `Expected a YAML file at ${path} but it cannot be read (${(cause as NodeJS.ErrnoException).code ?? 'unknown'}).`,
      { cause },
    );
  }
  return parseYaml(text, path);
}

/** As `readYamlFile`, from text; `path` only names the source. */
export function parseYaml(text: string, path: string): YamlFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${path}:${line}:${col}`;
  };
  if (document.errors.length > 0) {
    const problems = document.errors.map((e) => `${at(e.pos[0])}: ${e.message.replace(/\.?$/, '.')}`);
    throw new MendsetError('invalid-config', problems[0] as string, { problems });
  }
  const where = (keys: readonly PropertyKey[], key?: string): string => {
    let node: Node | null = document.contents;
    let offset = node?.range?.[0] ?? 0;
    for (let depth = 1; depth <= keys.length; depth++) {
      const next: unknown = document.getIn(keys.slice(0, depth), true);
      if (!isNode(next)) break;
      node = next;
      offset = next.range?.[0] ?? offset;
    }
    if (key !== undefined && isMap(node)) {
      const pair = node.items.find((p) => isScalar(p.key) && String(p.key.value) === key);
      if (pair) offset = (pair.key as Node).range?.[0] ?? offset;
    }
    return at(offset);
  };
  return { path, value: document.toJS() as unknown, where };
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'range' in value;
}
