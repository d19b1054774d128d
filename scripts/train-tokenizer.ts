/**
 * Trains the demo model's tokenizer on the demo corpus and writes tokenizer.json and tokenizer_config.json.
 *
 *   npx tsc -p tsconfig.scripts.json && node build/scripts/scripts/train-tokenizer.js [OUT]
 *
 * OUT defaults to assets/demo/model. 4,096 entries: 256 bytes, 3,839 merges and <|endoftext|> (id 4095). Deterministic.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { writeFileAtomic } from '../src/core/files.ts';
import { packageRoot } from '../src/core/package-root.ts';
import { loadTokenizer } from '../src/tokenizer/load.ts';
import { bpeToTokenizerJson, trainBpe } from '../src/tokenizer/train-bpe.ts';
import { demoCorpus } from './demo-corpus.ts';

const ENTRIES = 4096;
const EOS = '<|endoftext|>';

const out = process.argv[2] ?? join(packageRoot(), 'assets', 'demo', 'model');
const documents = (await demoCorpus()).map((document) => document.text);
const trained = trainBpe(documents, ENTRIES - 1);
await mkdir(out, { recursive: true });
await writeFileAtomic(join(out, 'tokenizer.json'), `${JSON.stringify(bpeToTokenizerJson(trained, EOS))}\n`);
await writeFileAtomic(
  join(out, 'tokenizer_config.json'),
  `${JSON.stringify({ tokenizer_class: 'PreTrainedTokenizerFast', bos_token: EOS, eos_token: EOS, unk_token: EOS, model_max_length: 128 }, null, 2)}\n`,
);

const tokenizer = await loadTokenizer(out);
let tokens = 0;
let bytes = 0;
for (const text of documents) {
  tokens += tokenizer.encode(text).length;
  bytes += Buffer.byteLength(text);
}
console.error(
  `${tokenizer.vocabularySize} entries; ${documents.length} documents, ${bytes} bytes, ${tokens} tokens, ${(bytes / tokens).toFixed(2)} bytes a token`,
);
