import { basename } from 'node:path';

import { MendsetError } from '../core/errors.ts';
import { sha256Hex } from '../core/hash.ts';
import { modelFolder } from '../data/hub/model-folder.ts';
import { encodeTexts } from '../model/length-order.ts';
import type { LoadOptions } from '../model/load-weights.ts';
import { SequenceClassifier } from '../model/sequence-classifier.ts';
import { loadTokenizer } from '../tokenizer/load.ts';
import type { ToxicityScorer } from './scorer.ts';
import { toxicityLabels } from './toxicity-labels.ts';

/** The native classifier works on so many texts at once, so that progress shows and an abort is heard. */
const textsAtOnce = 1024;

/**
 * A BERT or RoBERTa classifier in the engine as scorer, such as unitary/toxic-bert: sigmoid or softmax as its configuration says, texts
 * of like length together, cut at its longest input.
 *
 * @throws MendsetError as `SequenceClassifier.load`, and `invalid-argument` where its labels do not say which means toxicity
 */
export async function classifierScorer(
  path: string,
  options: LoadOptions & { readonly label?: string | undefined } = {},
): Promise<ToxicityScorer> {
  const directory = await modelFolder(path, options);
  const tokenizer = await loadTokenizer(directory);
  const classifier = await SequenceClassifier.load(directory, options);
  try {
    if (tokenizer.vocabularySize > classifier.summary.vocab) {
      throw new MendsetError(
        'invalid-data',
        `Expected a tokenizer of at most ${classifier.summary.vocab} tokens for the classifier in ${directory} but its tokenizer has ${tokenizer.vocabularySize}: the two do not belong together.`,
      );
    }
    const name = path.startsWith('hf:') ? path.slice('hf:'.length) : basename(directory);
    const { labels, activation } = classifier.config;
    const chosen = toxicityLabels(labels, activation, options.label, name);
    const columns = labels.length;
    return {
      identity: {
        name: `classifier:${name}`,
        version: '1',
        weightsHash: sha256Hex([classifier.hash, tokenizer.hash, JSON.stringify([chosen, activation, classifier.maxTokens])]),
        labels: chosen.map(({ label }) => label),
        activation,
      },
      async score(texts, run = {}) {
        const { sequences, order } = encodeTexts(tokenizer, texts, classifier.maxTokens);
        const scores: Readonly<Record<string, number>>[] = new Array(texts.length);
        for (let first = 0; first < sequences.length; first += textsAtOnce) {
          const part = sequences.slice(first, first + textsAtOnce);
          const { data } = await classifier.scores(part, { signal: run.signal });
          for (let i = 0; i < part.length; i++) {
            const row = data.subarray(i * columns, (i + 1) * columns);
            scores[order[first + i] as number] = Object.fromEntries(chosen.map(({ label, column }) => [label, row[column] as number]));
          }
          run.onProgress?.({ phase: 'toxicity', done: first + part.length, total: sequences.length });
        }
        return scores;
      },
      dispose: () => classifier.dispose(),
    };
  } catch (error) {
    classifier.dispose();
    throw error;
  }
}
