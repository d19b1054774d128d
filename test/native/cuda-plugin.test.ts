import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/core/package-root.ts';

/** What `mendset info` and a named backend say about CUDA, in a fresh process each: the plugin is opened once per process. */

const LIBRARY = join(packageRoot(), 'build', 'cuda', 'libmendset_cuda.so');
/** The same kernels on the processor, as a library: the native tests build it. */
const EMULATED = join(packageRoot(), 'build', 'tests', 'native', 'cuda', 'emulation', 'libmendset_cuda_emulated.so');
const MAIN = join(packageRoot(), 'dist', 'cli', 'main.js');

async function cudaLine(environment: Record<string, string>): Promise<{ usable: boolean; detail: string }> {
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, 'info', '--json'], { env: { ...process.env, ...environment } });
  const { engine } = JSON.parse(stdout) as { engine: { backends: { name: string; usable: boolean; detail: string }[] } };
  const line = engine.backends.find((backend) => backend.name === 'cuda');
  if (line === undefined) throw new Error(`info names no CUDA backend: ${stdout}`);
  return line;
}

async function failure(environment: Record<string, string>): Promise<string> {
  const script = `import { kMeans, matrix } from ${JSON.stringify(join(packageRoot(), 'dist', 'index.js'))};
    await kMeans(matrix(new Float32Array([1, 2, 3, 4]), 2, 2), { k: 1, backend: 'cuda' }).then(() => process.stdout.write('ran'), (e) => process.stdout.write(e.code + ': ' + e.message));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
    env: { ...process.env, ...environment },
  });
  return stdout;
}

describe('the CUDA plugin', () => {
  it('is named with a reason when the library is another file', async () => {
    const line = await cudaLine({ MENDSET_CUDA_LIBRARY: join(packageRoot(), 'package.json') });
    expect(line).toMatchObject({ usable: false, detail: expect.stringContaining('could not be opened') });
  });

  it('asks for an absolute path', async () => {
    const line = await cudaLine({ MENDSET_CUDA_LIBRARY: 'libmendset_cuda.so' });
    expect(line).toMatchObject({ usable: false, detail: expect.stringContaining('absolute path') });
  });

  it('opens without a driver and says that there is none', async ({ skip }) => {
    if (!existsSync(LIBRARY)) skip('build/cuda/libmendset_cuda.so is not built (npm run build:cuda needs nvcc)');
    const line = await cudaLine({});
    if (line.usable) skip(`there is a device: ${line.detail}`);
    expect(line.detail).toMatch(/not usable here: \S/);
  });

  it('is never replaced by the processor when it was named', async () => {
    const message = await failure({ MENDSET_CUDA_LIBRARY: join(packageRoot(), 'package.json') });
    expect(message).toMatch(/^device: The backend 'cuda' is not usable here: .*could not be opened/);
  });

  it('chooses the same centres, clusters and words as the processor', async ({ skip }) => {
    if (!existsSync(EMULATED)) skip('the emulation of the plugin is not built (npm run build:tests makes it, on Linux)');
    const script = `import { kCenterGreedy, kMeans, LanguageModel, matrix } from ${JSON.stringify(join(packageRoot(), 'dist', 'index.js'))};
      const x = matrix(Float32Array.from({ length: 400 * 40 }, (_, i) => Math.sin(i * i * 0.37 + (i % 7))), 400, 40);
      const config = { model_type: 'gpt2', n_layer: 2, n_head: 2, n_embd: 32, n_positions: 32, n_ctx: 32, vocab_size: 100, layer_norm_epsilon: 1e-5,
        activation_function: 'gelu_new', bos_token_id: 0, eos_token_id: 0, tie_word_embeddings: true };
      const of = async (backend) => {
        const clusters = await kMeans(x, { k: 33, seed: 3, restarts: 1, maxIterations: 5, backend });
        const centres = await kCenterGreedy(x, { k: 20, backend });
        const model = LanguageModel.create(config, { seed: 5, backend });
        const made = await model.generate([Int32Array.of(5, 6, 7)], { maxNewTokens: 5, greedy: true });
        model.dispose();
        return JSON.stringify([[...clusters.labels], clusters.inertia, [...centres.order], made], (_, v) => (ArrayBuffer.isView(v) ? [...v] : v));
      };
      process.stdout.write(String((await of('cuda')) === (await of('cpu'))));`;
    const environment = { ...process.env, MENDSET_CUDA_LIBRARY: EMULATED, MENDSET_CUDA_PRECISION: 'fp32' };
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { env: environment });
    expect(stdout).toBe('true');
  });
});
