import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LanguageModel } from '../../src/model/language-model.ts';
import { saveCheckpoint } from '../../src/model/save.ts';
import { tinyConfig } from '../byte-tokenizer.ts';
import { readRawTensors, writeRawTensors } from '../safetensors.ts';

let folder: string;
let model: LanguageModel;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mendset-save-'));
  model = LanguageModel.create(tinyConfig(), { seed: 1, backend: 'cpu' });
});
afterEach(async () => {
  model.dispose();
  await rm(folder, { recursive: true });
});

describe('saveCheckpoint', () => {
  it('writes weights and config, carries the tokenizer, and leaves nothing beside them', async () => {
    const source = join(folder, 'source');
    await mkdir(source);
    await writeFile(join(source, 'tokenizer.json'), '{"made": "up"}');
    await writeFile(join(source, 'training.log'), 'not part of a checkpoint');
    const target = join(folder, 'deep', 'target');
    await saveCheckpoint(model.handle, source, target);
    expect((await readdir(target)).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
    expect(await readdir(join(folder, 'deep'))).toEqual(['target']);
    expect(await readFile(join(target, 'tokenizer.json'), 'utf8')).toBe('{"made": "up"}');
  });
  it('shards on request', async () => {
    const target = join(folder, 'sharded');
    await saveCheckpoint(model.handle, null, target, { shardBytes: 60_000 });
    expect(await readdir(target)).toContain('model.safetensors.index.json');
    using stored = await LanguageModel.load(target, { backend: 'cpu' });
    expect(stored.summary.parameters).toBe(model.summary.parameters);
  });
  it('keeps the element type of every tensor', async () => {
    const [wide, narrow, again] = ['wide', 'narrow', 'again'].map((name) => join(folder, name)) as [string, string, string];
    await saveCheckpoint(model.handle, null, wide);
    await saveCheckpoint(model.handle, null, narrow, { dtype: 'BF16' });
    const norms = await readRawTensors(join(wide, 'model.safetensors'));
    const mixed = new Map(
      Array.from(await readRawTensors(join(narrow, 'model.safetensors')), ([name, tensor]) => [
        name,
        name.includes('ln_') ? (norms.get(name) as typeof tensor) : tensor,
      ]),
    );
    expect(new Set(Array.from(mixed.values(), ({ dtype }) => dtype))).toEqual(new Set(['BF16', 'F32']));
    await writeRawTensors(join(narrow, 'model.safetensors'), mixed);
    for (const weights of ['float32', 'stored'] as const) {
      using stored = await LanguageModel.load(narrow, { backend: 'cpu', weights });
      await stored.save(again);
      expect(await readRawTensors(join(again, 'model.safetensors'))).toEqual(mixed);
    }
  });
  it('reads tensors larger than a piece', async () => {
    using large = LanguageModel.create(tinyConfig({ vocab_size: 140_000, n_layer: 1 }), { seed: 2, backend: 'cpu' });
    const [first, second] = [join(folder, 'first'), join(folder, 'second')];
    for (const dtype of ['F32', 'F16'] as const) {
      await large.save(first, { dtype });
      for (const weights of ['float32', 'stored'] as const) {
        using stored = await LanguageModel.load(first, { backend: 'cpu', weights });
        await stored.save(second);
        expect((await readFile(join(second, 'model.safetensors'))).equals(await readFile(join(first, 'model.safetensors')))).toBe(true);
      }
    }
  });
  it('replaces an earlier checkpoint, and nothing else', async () => {
    const target = join(folder, 'target');
    await saveCheckpoint(model.handle, null, target);
    await saveCheckpoint(model.handle, null, target, { dtype: 'BF16' });
    using stored = await LanguageModel.load(target, { backend: 'cpu' });
    expect(stored.summary.storedDtype).toBe('BF16');
    const photos = join(folder, 'photos');
    await mkdir(photos);
    await writeFile(join(photos, 'summer.jpg'), '');
    await expect(saveCheckpoint(model.handle, null, photos)).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringContaining('summer.jpg'),
    });
    expect(await readdir(photos)).toEqual(['summer.jpg']);
  });
  it('leaves an earlier checkpoint as it was when aborted', async () => {
    const target = join(folder, 'target');
    await saveCheckpoint(model.handle, null, target);
    const before = await readFile(join(target, 'model.safetensors'));
    await expect(saveCheckpoint(model.handle, null, target, { dtype: 'BF16', signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'aborted',
    });
    expect(await readFile(join(target, 'model.safetensors'))).toEqual(before);
    expect(await readdir(folder)).toEqual(['target']);
  });
});
