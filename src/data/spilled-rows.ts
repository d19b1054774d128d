import { type FileHandle, mkdir, open, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { MendsetError } from '../core/errors.ts';
import { fileError } from '../core/files.ts';
import { formatBytes } from '../core/memory.ts';
import { mapFloats } from '../native/map-file.ts';

/** File systems whose files are memory (Linux): tmpfs, ramfs. */
const IN_MEMORY: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);

/** Rows in fp32 in a temporary file, for matrices beyond memory whose own file cannot be mapped. */
export class SpilledRows {
  readonly #path: string;
  readonly #file: FileHandle;
  #count = 0;

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  /**
   * @param bytes what is expected to be written
   * @throws MendsetError `out-of-memory` where the folder has no room or is memory itself, `io`
   */
  static async create(folder: string, what: string, bytes: number): Promise<SpilledRows> {
    const path = join(folder, `mendset-embeddings-${process.pid}-${crypto.randomUUID()}.f32`);
    try {
      await mkdir(folder, { recursive: true });
      const { type, bavail, bsize } = await statfs(folder);
      const free = bavail * bsize;
      if (IN_MEMORY.has(type) || free < bytes) {
        const reason = IN_MEMORY.has(type) ? 'which is memory itself' : `which has ${formatBytes(free)} left`;
        throw new MendsetError(
          'out-of-memory',
          `Expected ${what} to fit into memory, or as ${formatBytes(bytes)} of fp32 into '${folder}', ${reason}: name a folder on a larger disk (TMPDIR, or the option temporary), or raise the memory limit.`,
        );
      }
      return new SpilledRows(path, await open(path, 'wx'));
    } catch (error) {
      throw fileError(error, path, 'write');
    }
  }

  async append(rows: Float32Array): Promise<void> {
    const bytes = new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength);
    try {
      for (let done = 0; done < bytes.length; ) done += (await this.#file.write(bytes, done)).bytesWritten;
    } catch (error) {
      throw fileError(error, this.#path, 'write');
    }
    this.#count += rows.length;
  }

  /** All rows as memory in the file, whose name is gone from then on; null where the platform cannot. */
  async finish(): Promise<Float32Array | null> {
    await this.#file.close();
    try {
      return mapFloats(this.#path, 0, this.#count);
    } finally {
      await rm(this.#path, { force: true });
    }
  }

  /** Instead of `finish`: leaves nothing behind. */
  async discard(): Promise<void> {
    await this.#file.close();
    await rm(this.#path, { force: true });
  }
}
