import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { endianness } from 'node:os';
import { join } from 'node:path';
import { MendsetError } from '../core/errors.ts';
import { fileError, writeFileAtomic } from '../core/files.ts';
import { sha256Hex } from '../core/hash.ts';

/** Rows of one text: its key, the first row in the file, and how many. */
type Entry = readonly [key: string, firstRow: number, rows: number];

interface Index {
  readonly kind: 'mendset-reference-states';
  readonly version: 1;
  readonly identity: string;
  readonly width: number;
  readonly rows: number;
  readonly entries: readonly Entry[];
}

interface LogProbFile {
  readonly kind: 'mendset-reference-log-probs';
  readonly version: 1;
  readonly identity: string;
  readonly values: Readonly<Record<string, number>>;
}

interface Place {
  readonly path: string;
  readonly firstRow: number;
  readonly rows: number;
}

/**
 * What one original model says about texts, in a folder: `<hash>.f32` holds hidden states (little-endian fp32, [rows, width]) and
 * `<hash>.states.json`, written last, says which text has which rows; `<hash>.log-probs.json` holds summed log-probabilities.
 * Files are written beside their place, synced and renamed, and never changed: several processes may share the folder.
 */
export class ReferenceFiles {
  readonly directory: string;
  readonly width: number;
  readonly #identity: string;
  readonly #places: Map<string, Place>;
  readonly #logProbs: Map<string, number>;

  private constructor(directory: string, identity: string, width: number, places: Map<string, Place>, logProbs: Map<string, number>) {
    this.directory = directory;
    this.width = width;
    this.#identity = identity;
    this.#places = places;
    this.#logProbs = logProbs;
  }

  /**
   * Reads what the folder knows of the model with this identity; a folder that does not exist yet knows nothing. Rejects with
   * `corrupt`, naming the file to delete, for one that is not what was written.
   */
  static async open(folder: string, identity: string, width: number): Promise<ReferenceFiles> {
    const directory = join(folder, sha256Hex(identity).slice(0, 32));
    const places = new Map<string, Place>();
    const logProbs = new Map<string, number>();
    for (const name of await readdir(directory).catch(() => [] as string[])) {
      const path = join(directory, name);
      if (name.endsWith('.states.json')) {
        const index = await readOwn<Index>(path, 'mendset-reference-states');
        const data = path.replace(/\.states\.json$/, '.f32');
        const size = (await stat(data).catch(() => null))?.size;
        if (index.identity !== identity || index.width !== width || size !== index.rows * width * 4) {
          throw new MendsetError(
            'corrupt',
            `Expected ${data} to hold ${index.rows} hidden states of ${width} numbers, as ${name} says, but it has ${size ?? 'no'} bytes: delete both files to compute them again.`,
          );
        }
        for (const [key, firstRow, rows] of index.entries) places.set(key, { path: data, firstRow, rows });
      } else if (name.endsWith('.log-probs.json')) {
        const { values } = await readOwn<LogProbFile>(path, 'mendset-reference-log-probs');
        for (const [key, value] of Object.entries(values)) logProbs.set(key, value);
      }
    }
    return new ReferenceFiles(directory, identity, width, places, logProbs);
  }

  hasHidden(key: string): boolean {
    return this.#places.has(key);
  }

  /** Hidden states of texts, one after another, at places of `out` counted in rows. Texts of one file share one open. */
  async readHidden(wanted: readonly { key: string; row: number }[], out: Float32Array): Promise<void> {
    for (const [path, texts] of group(wanted, ({ key }) => this.#place(key).path)) {
      const file = await open(path, 'r').catch((error: unknown) => {
        throw fileError(error, path, 'read');
      });
      try {
        for (const { key, row } of texts) {
          const place = this.#place(key);
          const bytes = new Uint8Array(out.buffer, out.byteOffset + row * this.width * 4, place.rows * this.width * 4);
          const { bytesRead } = await file.read(bytes, 0, bytes.length, place.firstRow * this.width * 4);
          if (bytesRead !== bytes.length) {
            throw new MendsetError(
              'corrupt',
              `Expected ${bytes.length} bytes at row ${place.firstRow} of ${path} but found ${bytesRead}: delete the folder ${this.directory} to compute it again.`,
            );
          }
        }
      } finally {
        await file.close();
      }
    }
  }

  logProb(key: string): number | undefined {
    return this.#logProbs.get(key);
  }

  async addLogProbs(values: ReadonlyMap<string, number>): Promise<void> {
    if (values.size === 0) return;
    for (const [key, value] of values) this.#logProbs.set(key, value);
    await mkdir(this.directory, { recursive: true });
    const file: LogProbFile = {
      kind: 'mendset-reference-log-probs',
      version: 1,
      identity: this.#identity,
      values: Object.fromEntries(values),
    };
    await writeFileAtomic(join(this.directory, `${fileStem(values.keys())}.log-probs.json`), JSON.stringify(file));
  }

  /** A new file of hidden states. What was added counts once it is finished. */
  async writer(): Promise<HiddenWriter> {
    await mkdir(this.directory, { recursive: true });
    return await HiddenWriter.open(this.directory, this.width, async (entries, rows, beside) => {
      const stem = join(this.directory, fileStem(entries.map(([key]) => key)));
      await rename(beside, `${stem}.f32`);
      const index: Index = { kind: 'mendset-reference-states', version: 1, identity: this.#identity, width: this.width, rows, entries };
      await writeFileAtomic(`${stem}.states.json`, JSON.stringify(index));
      for (const [key, firstRow, count] of entries) this.#places.set(key, { path: `${stem}.f32`, firstRow, rows: count });
    });
  }

  #place(key: string): Place {
    return this.#places.get(key) as Place;
  }
}

/** Appends hidden states to a file beside the others, which `finish` syncs and makes count. */
export class HiddenWriter {
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #width: number;
  readonly #publish: (entries: readonly Entry[], rows: number, beside: string) => Promise<void>;
  readonly #entries: Entry[] = [];
  #rows = 0;

  private constructor(
    file: FileHandle,
    path: string,
    width: number,
    publish: (entries: readonly Entry[], rows: number, beside: string) => Promise<void>,
  ) {
    this.#file = file;
    this.#path = path;
    this.#width = width;
    this.#publish = publish;
  }

  static async open(
    directory: string,
    width: number,
    publish: (entries: readonly Entry[], rows: number, beside: string) => Promise<void>,
  ): Promise<HiddenWriter> {
    if (endianness() !== 'LE') throw new MendsetError('unsupported', 'Reference states are kept in files on little-endian machines only.');
    const path = join(directory, `.states.${process.pid}-${randomBytes(4).toString('hex')}.tmp`);
    const file = await open(path, 'wx').catch((error: unknown) => {
      throw fileError(error, path, 'write');
    });
    return new HiddenWriter(file, path, width, publish);
  }

  /** `states`: [tokens of the text, width] */
  async add(key: string, states: Float32Array): Promise<void> {
    try {
      await this.#file.writeFile(new Uint8Array(states.buffer, states.byteOffset, states.byteLength));
    } catch (error) {
      throw fileError(error, this.#path, 'write');
    }
    const rows = states.length / this.#width;
    this.#entries.push([key, this.#rows, rows]);
    this.#rows += rows;
  }

  /** Makes what was added count; without anything, or after a failed `add`, call `abandon` instead. */
  async finish(): Promise<void> {
    if (this.#entries.length === 0) return await this.abandon();
    try {
      await this.#file.sync();
    } finally {
      await this.#file.close();
    }
    await this.#publish(this.#entries, this.#rows, this.#path);
  }

  async abandon(): Promise<void> {
    await this.#file.close();
    await rm(this.#path, { force: true });
  }
}

function group<V>(values: readonly V[], keyOf: (value: V) => string): Map<string, V[]> {
  const groups = new Map<string, V[]>();
  for (const value of values) {
    const key = keyOf(value);
    const members = groups.get(key);
    if (members) members.push(value);
    else groups.set(key, [value]);
  }
  return groups;
}

const fileStem = (keys: Iterable<string>): string => sha256Hex([...keys].sort()).slice(0, 32);

async function readOwn<T extends { kind: string; version: number }>(path: string, kind: T['kind']): Promise<T> {
  try {
    const value = JSON.parse(await readFile(path, 'utf8')) as T;
    if (value.kind === kind && value.version === 1) return value;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw fileError(error, path, 'read');
  }
  throw new MendsetError('corrupt', `Expected ${path} to be a file of reference states of version 1 but it is not: delete it.`);
}
