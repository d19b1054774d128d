import { type ScorerSpec, scorerPath, scorerSpec } from '../evaluate/load-scorer.ts';
import type { OptionReader } from './option-reader.ts';

/** `--scorer` and `--scorer-label`: what is wrong with them joins the reader's problems, and then the built-in one stands in. */
export async function readScorer(options: OptionReader): Promise<ScorerSpec> {
  const name = options.text('scorer') ?? 'builtin';
  const label = options.text('scorerLabel');
  const path = scorerPath(name) ?? (name === 'builtin' ? undefined : name.replace(/^onnx:/, ''));
  const before = options.problems.length;
  await options.input(path, name.startsWith('onnx:') ? 'folder' : 'any', 'scorer');
  if (options.problems.length > before) return 'builtin';
  return (await options.attempt(() => scorerSpec(name, label))) ?? 'builtin';
}
