import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { fileError } from '../core/files.ts';

/**
 * A TensorBoard event file: TFRecords (length, masked CRC-32C of the length, data, masked CRC-32C of the data) that each hold one
 * `Event` protocol buffer (tensorflow/core/util/event.proto). TensorBoard merges the files of a folder; `purgeFrom` makes it forget
 * what earlier files said from that step on, which is how a resumed run replaces steps that were lost.
 */
export class EventFile {
  readonly path: string;
  readonly #file: FileHandle;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  static async create(directory: string, purgeFrom: number | null = null): Promise<EventFile> {
    const seconds = Math.floor(Date.now() / 1000);
    const path = join(
      directory,
      `events.out.tfevents.${String(seconds).padStart(10, '0')}.${hostname()}.${process.pid}.${randomBytes(3).toString('hex')}`,
    );
    try {
      await mkdir(directory, { recursive: true });
      const out = new EventFile(path, await open(path, 'wx'));
      await out.#append([doubleField(1, Date.now() / 1000), bytesField(3, Buffer.from('brain.Event:2'))]);
      // SessionLog { status: START } at the first step that counts again
      if (purgeFrom !== null) await out.#append([...header(purgeFrom), bytesField(7, varintField(1, 1))]);
      return out;
    } catch (error) {
      throw fileError(error, path, 'write');
    }
  }

  /** One event with a scalar for each tag. */
  async scalars(step: number, values: Readonly<Record<string, number>>): Promise<void> {
    const summary = Object.entries(values).map(([tag, value]) =>
      bytesField(1, Buffer.concat([bytesField(1, Buffer.from(tag)), floatField(2, value)])),
    );
    try {
      await this.#append([...header(step), bytesField(5, Buffer.concat(summary))]);
    } catch (error) {
      throw fileError(error, this.path, 'write');
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #append(fields: readonly Buffer[]): Promise<void> {
    await this.#file.writeFile(record(Buffer.concat(fields)));
  }
}

/** A TFRecord. */
export function record(data: Uint8Array): Buffer {
  const out = Buffer.alloc(16 + data.length);
  out.writeBigUInt64LE(BigInt(data.length), 0);
  out.writeUInt32LE(maskedCrc32c(out.subarray(0, 8)), 8);
  out.set(data, 12);
  out.writeUInt32LE(maskedCrc32c(data), 12 + data.length);
  return out;
}

const CASTAGNOLI = 0x82f63b78; // reversed
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ CASTAGNOLI : crc >>> 1;
  return crc >>> 0;
});

/** CRC-32C (RFC 3720). */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = (TABLE[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** TFRecord's mask, so that a CRC of data that contains CRCs stays useful: rotated right by 15 bits plus a constant. */
function maskedCrc32c(data: Uint8Array): number {
  const crc = crc32c(data);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

function header(step: number): Buffer[] {
  return [doubleField(1, Date.now() / 1000), varintField(2, step)];
}

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt(value);
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest > 0n ? low | 0x80 : low);
  } while (rest > 0n);
  return Buffer.from(bytes);
}

function key(field: number, type: number): Buffer {
  return varint((field << 3) | type);
}

function varintField(field: number, value: number): Buffer {
  return Buffer.concat([key(field, VARINT), varint(value)]);
}

function doubleField(field: number, value: number): Buffer {
  const out = Buffer.alloc(8);
  out.writeDoubleLE(value);
  return Buffer.concat([key(field, FIXED64), out]);
}

function floatField(field: number, value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeFloatLE(value);
  return Buffer.concat([key(field, FIXED32), out]);
}

function bytesField(field: number, value: Uint8Array): Buffer {
  return Buffer.concat([key(field, BYTES), varint(value.length), value]);
}
