import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, isAbsolute, join } from 'node:path';
import { packageRoot } from '../core/package-root.ts';
import type { NativeBinding, NativeInfo } from './binding.ts';

/** The package that holds the library for this platform and nothing else. */
const PACKAGE = `mendset-cuda-${process.platform}-${process.arch}`;
const LIBRARY = 'libmendset_cuda.so';

let state: { readonly reason: string | undefined } | undefined;

/**
 * Opens the CUDA plugin once per process, where there is one: `MENDSET_CUDA_LIBRARY` (an absolute path), else the package for this
 * platform, else build/cuda of a source checkout. Returns why there is none, or undefined; a plugin that opened says itself whether a
 * device is usable.
 */
export function openCudaPlugin(binding: Pick<NativeBinding, 'openPlugin'>): string | undefined {
  state ??= { reason: open(binding) };
  return state.reason;
}

/** `info()` with a line for CUDA in every case. */
export function infoWithCuda(binding: Pick<NativeBinding, 'openPlugin' | 'info'>): NativeInfo {
  const reason = openCudaPlugin(binding);
  const info = binding.info();
  if (reason === undefined || info.backends.some((backend) => backend.name === 'cuda')) return info;
  return { ...info, backends: [...info.backends, { name: 'cuda', usable: false, detail: reason }] };
}

function open(binding: Pick<NativeBinding, 'openPlugin'>): string | undefined {
  const override = process.env['MENDSET_CUDA_LIBRARY'];
  if (override && !isAbsolute(override)) {
    return `Expected MENDSET_CUDA_LIBRARY to be the absolute path of ${LIBRARY} but received "${override}"; correct or unset it.`;
  }
  const path = override || findLibrary();
  if (path === undefined) {
    return `The CUDA plugin is not installed: install the package ${PACKAGE}, build it with \`npm run build:cuda\`, or name the library in MENDSET_CUDA_LIBRARY.`;
  }
  try {
    binding.openPlugin(path);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function findLibrary(): string | undefined {
  if (process.platform !== 'linux') return undefined;
  const built = join(packageRoot(), 'build', 'cuda', LIBRARY);
  if (existsSync(built)) return built;
  try {
    const folder = dirname(createRequire(import.meta.url).resolve(`${PACKAGE}/package.json`));
    return join(folder, LIBRARY);
  } catch {
    return undefined;
  }
}
