// Saves every golden language model with mendset, single and sharded, and its logits: what check-round-trip.py compares.
//
//   node test/golden/save-all.mjs OUT && for f in OUT/*.ids.json; do python test/golden/check-round-trip.py "${f%.ids.json}" "$f" "${f%.ids.json}.npy"; done
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LanguageModel, writeNpy } from '../../dist/index.js';

const out = process.argv[2];
if (!out) throw new Error('Expected a folder to write to.');
await mkdir(out, { recursive: true });
const golden = import.meta.dirname;
const ids = Int32Array.from([5, 17, 80, 3, 3, 41, 66, 12, 9, 70, 28, 54]);
for (const kind of ['tiny-hf', 'decoders']) {
  for (const name of await readdir(join(golden, kind))) {
    const folder = join(golden, kind, name);
    if (!(await stat(folder)).isDirectory()) continue;
    const model = await LanguageModel.load(folder);
    const [logits] = await model.logits([{ ids, mask: new Uint8Array(ids.length).fill(1) }]);
    for (const [suffix, shardBytes] of [
      ['', undefined],
      ['-in-shards', 20_000],
    ]) {
      const target = join(out, `${name}${suffix}`);
      await model.save(target, shardBytes ? { shardBytes } : {});
      await writeFile(`${target}.ids.json`, JSON.stringify([...ids]));
      await writeNpy(`${target}.npy`, logits.data, [logits.rows, logits.columns]);
    }
    model.dispose();
  }
}
