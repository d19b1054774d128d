// npm run bench -- selection | lm | peers | cost | tokenizer | checkpoints | readme [options of the part]
// selection: what TypeScript sees, by tinybench, and the native operations where their benchmark is built. peers: other people's software
// on the same files. cost: time against n, d, k and threads. tokenizer: text to ids beside
// @huggingface/tokenizers. checkpoints: the published shapes, loaded, scored, repaired and saved. readme: the table of README.md from the result files.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './machine.mjs';

const PARTS = {
  selection: 'selection.mjs',
  lm: 'lm.mjs',
  peers: 'peers.mjs',
  cost: 'cost.mjs',
  tokenizer: 'tokenizer.mjs',
  checkpoints: 'checkpoints.mjs',
  readme: 'readme-table.mjs',
};
const [part, ...rest] = process.argv.slice(2);
if (!(part in PARTS)) {
  console.error(
    `Expected ${Object.keys(PARTS).join(', ')} after "npm run bench --" but received ${part === undefined ? 'nothing' : `"${part}"`}.`,
  );
  process.exit(2);
}
if (part !== 'readme' && !existsSync(join(root, 'dist', 'index.js'))) {
  console.error('Expected the built package in dist/ but there is none: run npm run build first.');
  process.exit(2);
}
process.exit(spawnSync(process.execPath, [join(root, 'bench', PARTS[part]), ...rest], { stdio: 'inherit' }).status ?? 1);
