import { readFile, writeFile } from 'node:fs/promises';

/** F32 tensors of a safetensors file, by name. */
export async function readSafetensors(path: string): Promise<Map<string, { shape: number[]; data: Float32Array }>> {
  const bytes = await readFile(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const out = new Map<string, { shape: number[]; data: Float32Array }>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    if (entry.dtype !== 'F32') throw new Error(`${path}: ${name} is ${entry.dtype}`);
    const [begin, end] = entry.data_offsets;
    // a copy: the file's tensors need not be aligned
    const data = new Float32Array(Uint8Array.from(bytes.subarray(8 + length + begin, 8 + length + end)).buffer);
    out.set(name, { shape: entry.shape, data });
  }
  return out;
}

/** Element type and bytes of every tensor, by name, in the file's order. */
export async function readRawTensors(path: string): Promise<Map<string, { dtype: string; shape: number[]; bytes: Buffer }>> {
  const file = await readFile(path);
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + length).toString()) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  return new Map(
    Object.entries(header)
      .filter(([name]) => name !== '__metadata__')
      .map(
        ([
          name,
          {
            dtype,
            shape,
            data_offsets: [begin, end],
          },
        ]) => [name, { dtype, shape, bytes: file.subarray(8 + length + begin, 8 + length + end) }],
      ),
  );
}

export async function writeRawTensors(
  path: string,
  tensors: ReadonlyMap<string, { dtype: string; shape: readonly number[]; bytes: Uint8Array }>,
): Promise<void> {
  const header: Record<string, unknown> = {};
  let end = 0;
  for (const [name, { dtype, shape, bytes }] of tensors) {
    header[name] = { dtype, shape, data_offsets: [end, end + bytes.length] };
    end += bytes.length;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  await writeFile(path, Buffer.concat([length, text, ...Array.from(tensors.values(), ({ bytes }) => bytes)]));
}
