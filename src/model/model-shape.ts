import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What planning needs to know of a model, read from its files without loading it. */
export interface ModelShape {
  readonly layers: number;
  readonly width: number;
  readonly vocab: number;
  readonly context: number;
  /** Elements of all stored tensors */
  readonly parameters: number;
}

/** The shape in config.json, and the size of the tensors by the headers of the weight files. */
export async function modelShape(directory: string): Promise<ModelShape> {
  const config = JSON.parse(await readFile(join(directory, 'config.json'), 'utf8')) as Record<string, unknown>;
  const number = (...keys: string[]) => Number(keys.map((k) => config[k]).find((v) => typeof v === 'number') ?? 0);
  const files = (await readdir(directory)).filter((name) => name.endsWith('.safetensors'));
  const counts = await Promise.all(files.map((name) => storedElements(join(directory, name))));
  return {
    layers: number('n_layer', 'num_layers', 'num_hidden_layers'),
    width: number('n_embd', 'hidden_size'),
    vocab: number('vocab_size'),
    context: number('n_positions', 'n_ctx', 'max_position_embeddings') || 1024,
    parameters: counts.reduce((sum, c) => sum + c, 0),
  };
}

/** By the header alone; a file that has none counts nothing here and is refused when it is loaded. */
async function storedElements(path: string): Promise<number> {
  const file = await open(path);
  try {
    const start = Buffer.alloc(8);
    await file.read(start, 0, 8, 0);
    const length = Number(start.readBigUInt64LE());
    if (length > (await file.stat()).size) return 0;
    const text = Buffer.alloc(length);
    await file.read(text, 0, length, 8);
    const entries = Object.values(JSON.parse(text.toString('utf8')) as Record<string, { shape?: readonly number[] }>);
    return entries.reduce((sum, { shape }) => sum + (shape ? shape.reduce((a, b) => a * b, 1) : 0), 0);
  } finally {
    await file.close();
  }
}
