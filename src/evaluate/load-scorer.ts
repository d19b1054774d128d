import { MendsetError } from '../core/errors.ts';
import { pathKind } from '../core/files.ts';
import { isHubName } from '../data/hub/hub-name.ts';
import type { LoadOptions } from '../model/load-weights.ts';
import { builtinScorer } from './builtin-scorer.ts';
import { classifierScorer } from './classifier-scorer.ts';
import { onnxScorer } from './onnx-scorer.ts';
import type { ToxicityScorer } from './scorer.ts';
import { scoresFileScorer } from './scores-file-scorer.ts';

/**
 * Which scorer to use: the one that comes with the package; a file of scores computed elsewhere; a BERT or RoBERTa classifier (a folder or
 * `hf:owner/name`) run by the engine; the same in ONNX form, run by `@huggingface/transformers` where that is installed. `label` names the
 * label that means toxicity where the classifier's labels do not say.
 */
export type ScorerSpec =
  | 'builtin'
  | { readonly scoresFile: string }
  | { readonly classifier: string; readonly label?: string | undefined }
  | { readonly onnx: string; readonly label?: string | undefined };

/**
 * Opens a scorer; a scorer of one's own is any object with the members of `ToxicityScorer` and needs no opening.
 *
 * @throws MendsetError `invalid-argument`, `not-found`, `invalid-data` with file:line, `unsupported`
 * @example
 * const scorer = await loadScorer({ classifier: 'hf:unitary/toxic-bert' });
 */
export async function loadScorer(spec: ScorerSpec, options: LoadOptions = {}): Promise<ToxicityScorer> {
  if (spec === 'builtin') return builtinScorer();
  if (typeof spec === 'object' && spec !== null) {
    if ('scoresFile' in spec && typeof spec.scoresFile === 'string') return scoresFileScorer(spec.scoresFile);
    if ('classifier' in spec && typeof spec.classifier === 'string')
      return classifierScorer(spec.classifier, { ...options, label: spec.label });
    if ('onnx' in spec && typeof spec.onnx === 'string')
      return onnxScorer(spec.onnx, { signal: options.signal, onProgress: options.onProgress, label: spec.label });
  }
  throw new MendsetError(
    'invalid-argument',
    `Expected 'builtin', { scoresFile }, { classifier } or { onnx } as scorer but received ${JSON.stringify(spec)}.`,
  );
}

const onnxPrefix = 'onnx:';

/** The folder or file that a scorer's name stands for; null for `builtin` and names of the Hub. */
export function scorerPath(name: string): string | null {
  const path = name.startsWith(onnxPrefix) ? name.slice(onnxPrefix.length) : name;
  return name === 'builtin' || isHubName(path) ? null : path;
}

/** The same name with another path, e.g. an absolute one. */
export function withScorerPath(name: string, change: (path: string) => string): string {
  const path = scorerPath(name);
  return path === null ? name : `${name.startsWith(onnxPrefix) ? onnxPrefix : ''}${change(path)}`;
}

/**
 * A scorer as one word: `builtin`, a scores file, a classifier's folder or `hf:owner/name`, or one of those behind `onnx:`.
 *
 * @throws MendsetError `not-found`, and `invalid-argument` for a label that nothing would use
 */
export async function scorerSpec(name: string, label?: string): Promise<ScorerSpec> {
  const path = name.startsWith(onnxPrefix) ? name.slice(onnxPrefix.length) : name;
  if (name.startsWith(onnxPrefix)) return { onnx: path, label };
  if (isHubName(path)) return { classifier: path, label };
  const kind = name === 'builtin' ? 'builtin' : await pathKind(path);
  if (kind === 'folder') return { classifier: path, label };
  if (kind === 'none')
    throw new MendsetError('not-found', `Expected a scores file or a classifier's folder at '${path}' but there is none; check the path.`);
  if (label !== undefined)
    throw new MendsetError(
      'invalid-argument',
      `Expected no label for the scorer '${name}', which is no classifier, but received '${label}'.`,
    );
  return kind === 'builtin' ? 'builtin' : { scoresFile: path };
}
