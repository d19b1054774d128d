import { copyFile, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/core/package-root.ts';
import { writeNpy } from '../../src/data/npy.ts';
import { LanguageModel } from '../../src/model/language-model.ts';
import { type CliRun, cli, errors } from '../unit/cli-fixture.ts';

/** Each mistake gets one sentence that names the place, what was expected and what came; nothing is computed or written. */

const TOKENIZER = join(packageRoot(), 'assets', 'demo', 'model', 'tokenizer.json');
const CONFIG = {
  model_type: 'gpt2',
  architectures: ['GPT2LMHeadModel'],
  n_layer: 1,
  n_head: 2,
  n_embd: 16,
  n_positions: 64,
  n_ctx: 64,
  layer_norm_epsilon: 1e-5,
  activation_function: 'gelu_new',
  bos_token_id: 0,
  eos_token_id: 0,
  tie_word_embeddings: true,
};

let directory: string;
let model: string;
let pool: string;
let out: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mendset-bad-input-'));
  model = join(directory, 'model');
  using small = LanguageModel.create({ ...CONFIG, vocab_size: 4096 }, { seed: 1 });
  await small.save(model);
  await copyFile(TOKENIZER, join(model, 'tokenizer.json'));
  pool = join(directory, 'pool.jsonl');
  await writeFile(
    pool,
    Array.from(
      { length: 10 },
      (_, i) => `${JSON.stringify({ prompt: `question ${i}`, chosen: ` good ${i}`, rejected: ` bad ${i}` })}\n`,
    ).join(''),
  );
  out = join(directory, 'out.jsonl');
});
beforeEach(async () => {
  await writeFile(out, 'earlier output\n');
});
afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

/** Exit code 2, nothing on stdout, the earlier output and the folder's listing as they were. */
async function refused(argv: readonly string[]): Promise<string[]> {
  const before = (await readdir(directory)).sort();
  const run: CliRun = await cli(argv);
  expect({ code: run.code, stdout: run.stdout }, run.stderr).toEqual({ code: 2, stdout: '' });
  expect(await readFile(out, 'utf8')).toBe('earlier output\n');
  expect((await readdir(directory)).sort()).toEqual(before);
  expect(run.stderr).not.toContain('This is a bug');
  const sentences = errors(run);
  for (const sentence of sentences) expect(sentence).toMatch(/[.)]$/);
  return sentences;
}

async function modelCopy(name: string): Promise<string> {
  const path = join(directory, name);
  await cp(model, path, { recursive: true });
  return path;
}

describe('bad input', () => {
  it('a missing file', async () => {
    const missing = join(directory, 'missing.jsonl');
    expect(await refused(['select', '--pool', missing, '--method', 'random', '--budget', '1', '--out', out])).toEqual([
      `Expected --pool to be a file that exists but there is none at '${missing}'.`,
    ]);
    const noModel = join(directory, 'nowhere');
    expect(await refused(['repair', '--model', noModel, '--data', pool, '--method', 'dapt', '--out', join(directory, 'repaired')])).toEqual(
      [`Expected --model to be a folder that exists but there is none at '${noModel}'.`],
    );
  });

  it('bad JSON at a line', async () => {
    const bad = join(directory, 'bad.jsonl');
    await writeFile(bad, `${JSON.stringify({ prompt: 'a', chosen: 'b', rejected: 'c' })}\n\n{"prompt": oops\n`);
    const [sentence, ...rest] = await refused(['select', '--pool', bad, '--method', 'random', '--budget', '1', '--out', out]);
    expect(sentence).toContain(`${bad}:3`);
    expect(rest).toEqual([]);
    expect((await refused(['score', '--model', model, '--data', bad, '--out', out]))[0]).toContain(`${bad}:3`);
  });

  it('an empty pool', async () => {
    const empty = join(directory, 'empty.jsonl');
    await writeFile(empty, '\n\n');
    const sentences = await refused(['select', '--pool', empty, '--method', 'random', '--budget', '1', '--out', out]);
    expect(sentences).toEqual([expect.stringMatching(/^Expected at least one record in '.*empty\.jsonl' but found only blank lines\.$/)]);
  });

  for (const budget of ['0', '-1', '-0.5', '0.0', '1.5', '0.5x', 'half']) {
    it(`budget ${budget}`, async () => {
      expect(await refused(['select', '--pool', pool, '--method', 'random', `--budget=${budget}`, '--out', out])).toEqual([
        `Expected --budget to be a share above 0 and below 1 (0.5; 1.0 for all) or a whole number of records of at least 1 but received "${budget}".`,
      ]);
    });
  }

  it('a budget beyond the pool', async () => {
    expect(await refused(['select', '--pool', pool, '--method', 'random', '--budget', '11', '--out', out])).toEqual([
      expect.stringMatching(/at most 10 records but received 11/),
    ]);
  });

  it('NaN in embeddings', async () => {
    const path = join(directory, 'nan.npy');
    const values = Float32Array.from({ length: 30 }, (_, i) => i);
    values[3 * 4 + 1] = Number.NaN;
    await writeNpy(path, values, [10, 3]);
    const sentences = await refused(['select', '--embeddings', path, '--method', 'k-center', '--budget', '3', '--out', out]);
    expect(sentences).toHaveLength(1);
    expect(sentences[0]).toContain(path);
    expect(sentences[0]).toMatch(/NaN/);
    expect(sentences[0]).toMatch(/row 4/);
  });

  it('embeddings of another number of records', async () => {
    const path = join(directory, 'short.npy');
    await writeNpy(path, new Float32Array(27), [9, 3]);
    expect(await refused(['select', '--embeddings', path, '--pool', pool, '--method', 'k-center', '--budget', '3', '--out', out])).toEqual([
      'Expected --embeddings for the 10 records of --pool but it has 9.',
    ]);
  });

  it('a truncated safetensors file', async () => {
    const broken = await modelCopy('truncated');
    const weights = join(broken, 'model.safetensors');
    const bytes = await readFile(weights);
    for (const size of [4, 100, bytes.length - 10]) {
      await writeFile(weights, bytes.subarray(0, size));
      const [sentence, ...rest] = await refused(['score', '--model', broken, '--data', pool, '--out', out]);
      expect(sentence).toContain('model.safetensors');
      expect(rest).toEqual([]);
    }
  });

  it('a lying safetensors header', async () => {
    const broken = await modelCopy('lying');
    const weights = join(broken, 'model.safetensors');
    const bytes = await readFile(weights);
    const size = Number(bytes.readBigUInt64LE(0));
    const lies: ((header: Record<string, { shape: number[]; data_offsets: number[] }>) => void)[] = [
      (h) => {
        for (const t of Object.values(h)) if (t.data_offsets) t.data_offsets[1] = (t.data_offsets[1] as number) + 4;
      },
      (h) => {
        for (const t of Object.values(h)) if (t.shape) t.shape[0] = (t.shape[0] as number) + 1;
      },
    ];
    const write = async (header: string) => {
      const text = Buffer.from(header.padEnd(Math.ceil(header.length / 8) * 8));
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(text.length));
      await writeFile(weights, Buffer.concat([length, text, bytes.subarray(8 + size)]));
    };
    const original = bytes.subarray(8, 8 + size).toString();
    for (const lie of lies) {
      const header = JSON.parse(original) as Parameters<typeof lie>[0];
      lie(header);
      await write(JSON.stringify(header));
      expect((await refused(['score', '--model', broken, '--data', pool, '--out', out]))[0]).toMatch(/safetensors|tensor/);
    }
    await write('{"not json');
    expect((await refused(['score', '--model', broken, '--data', pool, '--out', out]))[0]).toContain('model.safetensors');
    const huge = Buffer.from(bytes);
    huge.writeBigUInt64LE(2n ** 60n);
    await writeFile(weights, huge);
    expect((await refused(['score', '--model', broken, '--data', pool, '--out', out]))[0]).toContain('model.safetensors');
  });

  it('a tokenizer larger than the model', async () => {
    const broken = join(directory, 'mismatch');
    using small = LanguageModel.create({ ...CONFIG, vocab_size: 300 }, { seed: 1 });
    await small.save(broken);
    await mkdir(broken, { recursive: true });
    await copyFile(TOKENIZER, join(broken, 'tokenizer.json'));
    expect(await refused(['score', '--model', broken, '--data', pool, '--out', out])).toEqual([
      expect.stringMatching(/^Expected a tokenizer of at most 300 tokens for the model in .*mismatch but its tokenizer has \d+/),
    ]);
  });

  it('a tokenizer larger than the model, in the second model of a study', async () => {
    const yaml = join(directory, 'two.yaml');
    await writeFile(
      yaml,
      'name: s\nmodels: [{ name: a, path: model }, { name: b, path: mismatch }]\npool: { files: pool.jsonl, validation: 2 }\nselectors: random\nrepairs: dapt\nevaluation: { lastWord: words.jsonl }\n',
    );
    await writeFile(join(directory, 'words.jsonl'), '{"text":"one two three"}\n');
    expect(await refused(['study', yaml, '--out', join(directory, 'study-out')])).toEqual([
      expect.stringMatching(/^Expected a tokenizer of at most 300 tokens for the model in .*mismatch/),
    ]);
  });

  it('a model folder that is not one', async () => {
    const cases: [string, (folder: string) => Promise<void>, RegExp][] = [
      ['no-config', (f) => rm(join(f, 'config.json')), /no-config\/config\.json/],
      ['bad-config', (f) => writeFile(join(f, 'config.json'), '{"a":'), /Expected JSON in '.*bad-config\/config\.json'/],
      [
        'other-kind',
        async (f) => writeFile(join(f, 'config.json'), JSON.stringify({ ...CONFIG, vocab_size: 4096, model_type: 'mamba' })),
        /other-kind: config\.json: model_type "mamba" is not supported/,
      ],
      [
        'other-vocabulary',
        async (f) => writeFile(join(f, 'config.json'), JSON.stringify({ ...CONFIG, vocab_size: 4097 })),
        /other-vocabulary: Tensor transformer\.wte\.weight has the shape \[4096, 16\], but config\.json asks for \[4097, 16\]/,
      ],
      ['bad-tokenizer', (f) => writeFile(join(f, 'tokenizer.json'), '{'), /Expected JSON in '.*bad-tokenizer\/tokenizer\.json'/],
      [
        'folder-tokenizer',
        async (f) => {
          await rm(join(f, 'tokenizer.json'));
          await mkdir(join(f, 'tokenizer.json'));
        },
        /Expected '.*tokenizer\.json' to be a file but it is a folder/,
      ],
      [
        'no-tokenizer',
        (f) => rm(join(f, 'tokenizer.json')),
        /^Expected tokenizer\.json \(or vocab\.json and merges\.txt\) in .*no-tokenizer/,
      ],
    ];
    for (const [name, spoil, expected] of cases) {
      const broken = await modelCopy(name);
      await spoil(broken);
      expect(await refused(['score', '--model', broken, '--data', pool, '--out', out]), name).toEqual([expect.stringMatching(expected)]);
      expect((await refused(['generate', '--model', broken, '--prompts', pool, '--out', out]))[0], name).toMatch(expected);
    }
  });

  it('a gzip file that was cut off', async () => {
    const packed = join(directory, 'cut.jsonl.gz');
    await writeFile(packed, gzipSync(await readFile(pool)).subarray(0, 60));
    expect(await refused(['select', '--pool', packed, '--method', 'random', '--budget', '1', '--out', out])).toEqual([
      expect.stringMatching(/^Expected gzip data in '.*cut\.jsonl\.gz' but it does not unpack/),
    ]);
  });

  it('an .npy file of the wrong type or shape', async () => {
    const cases: [string, () => Promise<void>, RegExp][] = [
      [
        'whole.npy',
        () => writeNpy(join(directory, 'whole.npy'), new Int32Array(30), [10, 3]),
        /Expected a matrix of floats in '.*whole\.npy'/,
      ],
      ['cube.npy', () => writeNpy(join(directory, 'cube.npy'), new Float32Array(24), [2, 3, 4]), /found shape \(2, 3, 4\)/],
      [
        'flat.npy',
        () => writeNpy(join(directory, 'flat.npy'), new Float32Array(0), [10, 0]),
        /at least one row and one column in '.*flat\.npy'/,
      ],
      [
        'none.npy',
        () => writeNpy(join(directory, 'none.npy'), new Float32Array(0), [0, 3]),
        /at least one row and one column in '.*none\.npy'/,
      ],
      ['not.npy', () => writeFile(join(directory, 'not.npy'), 'hello, this is text'), /Expected a \.npy file at '.*not\.npy'/],
    ];
    for (const [name, write, expected] of cases) {
      await write();
      const argv = ['select', '--embeddings', join(directory, name), '--method', 'k-center', '--budget', '1', '--out', out];
      expect(await refused(argv), name).toEqual([expect.stringMatching(expected)]);
    }
  });

  it('token ids outside the vocabulary, before the first evaluation', async () => {
    const prompts = join(directory, 'prompts.jsonl');
    await writeFile(prompts, '{"prompt":"a"}\n{"prompt_ids":[1,99999]}\n');
    const texts = join(directory, 'texts.txt');
    await writeFile(texts, 'some words to read\n');
    const sentence = [`${prompts}:2: token id 99999 is outside the model's vocabulary of 4096.`];
    expect(await refused(['generate', '--model', model, '--prompts', prompts, '--out', out])).toEqual(sentence);
    const evaluation = ['evaluate', '--model', model, '--wikitext', texts, '--out', out];
    expect(await refused([...evaluation, '--prompts', prompts])).toEqual(sentence);
    expect(await refused([...evaluation, '--window', '65'])).toEqual([
      expect.stringMatching(/window must be between 2 and the model's context of 64, not 65/),
    ]);
  });

  it('numbers of threads that are none', async () => {
    const argv = ['select', '--pool', pool, '--method', 'random', '--budget', '1', '--out', out];
    for (const threads of ['0', '-1', '1e9', '2.5', 'all'])
      expect(await refused([...argv, `--threads=${threads}`])).toEqual([
        `Expected --threads to be a whole number between 1 and 1024 but received "${threads}".`,
      ]);
  });

  it('an unknown YAML key', async () => {
    const yaml = join(directory, 's.yaml');
    await writeFile(
      yaml,
      'name: s\nmodels: model\npool: { files: pool.jsonl }\nselectors: random\nrepairs: dapt\nevaluaton: {}\nevaluation: { toxicity: pool.jsonl }\n',
    );
    expect(await refused(['study', yaml, '--out', join(directory, 'study-out')])).toEqual([
      expect.stringMatching(/s\.yaml:6:1: unknown key "evaluaton"\. Did you mean "evaluation"\?/),
    ]);
  });

  it('an unwritable output', async () => {
    const nowhere = join(directory, 'no', 'such', 'folder', 'x.jsonl');
    expect(await refused(['select', '--pool', pool, '--method', 'random', '--budget', '1', '--out', nowhere])).toEqual([
      expect.stringMatching(/^Expected --out to be a file that can be written but no file can be created in/),
    ]);
    expect(await refused(['select', '--pool', pool, '--method', 'random', '--budget', '1', '--out', model])).toEqual([
      `Expected --out to be a file that can be written but '${model}' is a folder.`,
    ]);
    expect(await refused(['repair', '--model', model, '--data', pool, '--method', 'dapt', '--out', join(pool, 'x')])).toEqual([
      expect.stringMatching(/^Expected --out to be a folder that can be written/),
    ]);
  });

  it('a repaired model that would replace other files, or its own source', async () => {
    const foreign = join(directory, 'foreign');
    await mkdir(foreign);
    await writeFile(join(foreign, 'thesis.txt'), 'mine');
    const argv = ['repair', '--model', model, '--data', pool, '--method', 'dapt', '--out'];
    expect(await refused([...argv, foreign])).toEqual([
      expect.stringMatching(/foreign to be absent, empty or an earlier checkpoint but it holds other files \(thesis\.txt\)/),
    ]);
    const annotated = await modelCopy('annotated');
    await writeFile(join(annotated, 'README.md'), 'mine');
    expect(await refused([...argv, annotated])).toEqual([expect.stringContaining('(README.md)')]);
    expect(await refused([...argv, `${model}/`])).toEqual([expect.stringContaining('Expected --out to be another folder than --model')]);
    expect(await refused([...argv, join(directory, 'new'), '--resume'])).toEqual([
      expect.stringContaining('there is none; leave out --resume'),
    ]);
  });

  it('a repair without what it needs', async () => {
    expect(
      await refused(['repair', '--model', model, '--data', pool, '--method', 'dapt', '--kl', '1', '--out', join(directory, 'r')]),
    ).toEqual([expect.stringContaining('Expected --normal FILE or --generate-normal N')]);
    const chosen = join(directory, 'chosen.jsonl');
    await writeFile(chosen, '{"prompt":"a","completion":" b"}\n'.repeat(3));
    expect(
      await refused(['repair', '--model', model, '--data', chosen, '--validation', '0', '--method', 'dpo', '--out', join(directory, 'r')]),
    ).toEqual([expect.stringContaining('chosen.jsonl:1')]);
  });
});
