import { MendsetError } from '../../core/errors.ts';

/** What `hf:...` names: a repository of the Hugging Face Hub at a revision, and of a data set possibly one file or folder. */
export interface HubName {
  readonly kind: 'model' | 'dataset';
  /** `owner/name`, or `name` for the few models without an owner */
  readonly repository: string;
  /** Branch, tag or commit; `main` unless said otherwise */
  readonly revision: string;
  /** File or folder inside the repository, without slashes at its ends; null = the repository itself */
  readonly inside: string | null;
}

const prefix = 'hf:';
const word = /^[A-Za-z0-9](?:[\w.-]*[\w-])?$/;

/** Whether a path is meant for the Hub. Nothing else is ever looked for there. */
export function isHubName(path: string): boolean {
  return path.startsWith(prefix);
}

/**
 * Reads `hf:owner/name[@revision]` or `hf:datasets/owner/name[@revision][/file]`. Throws `invalid-argument` for anything else.
 *
 * @example
 * parseHubName('hf:EleutherAI/pythia-70m@step3000'); // { kind: 'model', repository: 'EleutherAI/pythia-70m', revision: 'step3000', inside: null }
 */
export function parseHubName(name: string): HubName {
  const problem = (what: string): MendsetError =>
    new MendsetError(
      'invalid-argument',
      `Expected hf:owner/name[@revision] or hf:datasets/owner/name[@revision][/file] but received '${name}': ${what}.`,
    );
  const dataset = name.startsWith(`${prefix}datasets/`);
  const rest = name.slice(dataset ? prefix.length + 'datasets/'.length : prefix.length);
  const at = rest.indexOf('@');
  const path = (at < 0 ? rest : rest.slice(0, at)).split('/');
  const count = dataset ? 2 : Math.min(2, path.length);
  const repository = path.slice(0, count);
  if (repository.length < count || repository.some((part) => !word.test(part) || part.includes('..') || part.includes('--')))
    throw problem('the repository has another form');
  let inside = path.slice(count);
  let revision = 'main';
  if (at >= 0) {
    if (inside.length > 0) throw problem('the revision stands behind the name, before the file');
    const [first = '', ...more] = rest.slice(at + 1).split('/');
    // refs/pr/7 and refs/convert/parquet are the only revisions with slashes
    const length = first === 'refs' ? 2 : 0;
    revision = [first, ...more.slice(0, length)].join('/');
    inside = more.slice(length);
    if (!revision.split('/').every((part) => /^[\w.-]+$/.test(part) && !/^\.+$/.test(part))) throw problem('the revision has another form');
  }
  while (inside.at(-1) === '') inside.pop();
  if (!dataset && inside.length > 0) throw problem('a model is named by its repository alone');
  if (inside.some((part) => !isPlainSegment(part))) throw problem('the file lies outside the repository');
  return {
    kind: dataset ? 'dataset' : 'model',
    repository: repository.join('/'),
    revision,
    inside: inside.length === 0 ? null : inside.join('/'),
  };
}

/**
 * Whether a file name that came from a server stays inside the folder it is put into, on every system: relative, without `.` and `..`,
 * backslashes, drive letters and control characters.
 */
export function isPlainPath(path: string): boolean {
  return path.split('/').every(isPlainSegment);
}

function isPlainSegment(part: string): boolean {
  return part !== '' && part.length <= 255 && !/^\.+$/.test(part) && !/[\\:\p{Cc}]/u.test(part);
}
