import { createHash } from 'node:crypto';
import { type RunOptions, throwIfAborted } from '../core/run-options.ts';
import type { FeatureKind, FeatureTypes } from './selector.ts';

const KINDS: readonly FeatureKind[] = ['embeddings', 'gradientNorms', 'toxicity', 'scores', 'groups'];
/** Between two looks at the signal and turns of the event loop; about 10 ms. */
const PIECE_BYTES = 16 * 2 ** 20;

/**
 * SHA-256 over the features that are there, in the order embeddings, gradientNorms, toxicity, scores, groups: for each its name and
 * shape as text (`embeddings 1000x384;`), then its bytes in memory (little-endian machines all agree).
 */
export async function featuresHash(features: Partial<FeatureTypes>, options: RunOptions = {}): Promise<string> {
  const hash = createHash('sha256');
  for (const kind of KINDS) {
    const feature = features[kind];
    if (feature === undefined) continue;
    const data = 'rows' in feature ? feature.data : feature;
    hash.update(`${kind} ${'rows' in feature ? `${feature.rows}x${feature.columns}` : feature.length};`);
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      hash.update(bytes.subarray(at, at + PIECE_BYTES));
      if (at + PIECE_BYTES >= bytes.length) break;
      await new Promise((resolve) => setImmediate(resolve));
      throwIfAborted(options.signal);
    }
  }
  return hash.digest('hex');
}
