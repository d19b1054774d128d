import type { RunOptions } from '../core/run-options.ts';
import type { GradientNormRunOptions, GradientNorms, LanguageModel } from '../model/language-model.ts';
import type { TokenSequence } from '../model/sequences.ts';
import type { TokenScores } from '../model/token-scores.ts';
import { forwardFlops, gradientNormFlops } from './feature-flops.ts';

/**
 * Token scores from the pass that computes gradient norms of the same sequences. Norms come first and leave the scores here; where
 * the norms were cached there was no such pass, and the scores take a forward pass of their own.
 */
export class ScoredPass {
  #kept: { scores: readonly TokenScores[]; seconds: number } | null = null;

  async gradientNorms(
    model: LanguageModel,
    sequences: readonly TokenSequence[],
    options: Omit<GradientNormRunOptions, 'scores'>,
  ): Promise<GradientNorms> {
    const start = performance.now();
    const norms = await model.gradientNorms(sequences, { ...options, scores: true });
    // the forward pass's part of the time, by FLOPs
    const share = sequences.length === 0 ? 0 : forwardFlops(model, sequences) / gradientNormFlops(model, sequences);
    this.#kept = { scores: norms.scores, seconds: (share * (performance.now() - start)) / 1000 };
    return norms;
  }

  /** @returns the scores, and the seconds of a pass that they account for: null = their own */
  async scores(
    model: LanguageModel,
    sequences: readonly TokenSequence[],
    run: RunOptions,
  ): Promise<{ scores: readonly TokenScores[]; seconds: number | null }> {
    return this.#kept ?? { scores: await model.score(sequences, run), seconds: null };
  }
}
