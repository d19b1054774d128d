import { MendsetError } from '../core/errors.ts';

// Labels of toxic-bert, unbiased-toxic-roberta, roberta_toxicity_classifier and Perspective. Groups of people that unbiased-toxic-roberta also names are none
const toxic =
  /^((severe_?)?toxic(ity)?|obscene|profanity|threat|insult|identity_(attack|hate)|sexual(ly)?_explicit|hate(ful)?|offensive)$/i;

/**
 * The labels of a classifier that mean toxicity, with their columns: the named one, or those whose names say so. A softmax shares one
 * whole among its classes, so there it must be a single one.
 */
export function toxicityLabels(
  labels: readonly string[],
  activation: 'sigmoid' | 'softmax',
  named: string | undefined,
  name: string,
): readonly { readonly label: string; readonly column: number }[] {
  const list = labels.join(', ');
  if (named !== undefined) {
    const column = labels.indexOf(named);
    if (column >= 0) return [{ label: named, column }];
    throw new MendsetError('invalid-argument', `Expected one of the labels ${list} of the scorer ${name} but received '${named}'.`);
  }
  if (labels.length === 1) return [{ label: labels[0] as string, column: 0 }];
  const found = labels.flatMap((label, column) => (toxic.test(label.trim().replace(/[ -]+/g, '_')) ? [{ label, column }] : []));
  if (found.length === 0 || (activation === 'softmax' && found.length > 1)) {
    throw new MendsetError(
      'invalid-argument',
      `Expected the label of the scorer ${name} that means toxicity, because its labels (${list}) ${
        found.length === 0 ? 'do not say' : 'name several that share one whole'
      }: name it (--scorer-label, or label).`,
    );
  }
  return found;
}
