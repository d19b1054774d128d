import { addon } from './addon.ts';
import { callNative } from './native-error.ts';

const mapped = new WeakSet<ArrayBufferLike>();

/**
 * Numbers of a file as memory: pages are read when touched and given back when memory is short, so that the file may be larger than
 * memory. null where the platform or the runtime cannot. A file that shrinks while it is mapped ends the process.
 * @param offset a multiple of 4
 */
export function mapFloats(path: string, offset: number, count: number): Float32Array | null {
  if (count === 0) return new Float32Array(0);
  const buffer = callNative(() => addon().mapFile(path, offset, 4 * count));
  if (buffer === null) return null;
  mapped.add(buffer);
  return new Float32Array(buffer);
}

/** Whether an array lies in a file and takes no memory that could not be given back. */
export function isMapped(array: ArrayBufferView): boolean {
  return mapped.has(array.buffer);
}
