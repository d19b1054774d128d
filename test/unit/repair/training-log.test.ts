import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { crc32c, EventFile, record } from '../../../src/repair/event-file.ts';
import type { StepLog, ValidationPoint } from '../../../src/repair/result.ts';
import { TrainingLog } from '../../../src/repair/training-log.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mendset-log-'));
});
afterEach(() => rm(folder, { recursive: true }));

const step = (n: number): StepLog => ({
  step: n,
  epoch: 0,
  examples: 4 * (n + 1),
  learningRate: 1e-5,
  loss: 3 - n / 10,
  lossRepair: 3,
  lossKl: null,
  gradientNorm: 0.5,
  blocks: [1],
  tokens: 80,
  scoredTokens: 40,
});
const point = (n: number): ValidationPoint => ({ step: n, examples: 4 * n, loss: 2, lossRepair: 2, lossKl: null, best: true });
const cost = { seconds: 0.1, tokensPerSecond: 800, memoryBytes: 1e8 };

describe('event files', () => {
  it('use CRC-32C and its mask', () => {
    // RFC 3720, B.4, and the check value of the polynomial
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
    const bytes = record(Buffer.from('abc'));
    expect(bytes).toHaveLength(19);
    expect(bytes.readBigUInt64LE(0)).toBe(3n);
    const unmask = (masked: number) => {
      const rotated = (masked - 0xa282ead8) >>> 0;
      return ((rotated >>> 17) | (rotated << 15)) >>> 0;
    };
    expect(unmask(bytes.readUInt32LE(15))).toBe(crc32c(Buffer.from('abc')));
  });
  it('hold a version and one event with a scalar for each tag', async () => {
    const file = await EventFile.create(join(folder, 'events'));
    await file.scalars(300, { 'train/loss': 1.5 });
    await file.close();
    const bytes = await readFile(file.path);
    const events: Buffer[] = [];
    for (let at = 0; at < bytes.length; ) {
      const length = Number(bytes.readBigUInt64LE(at));
      events.push(bytes.subarray(at + 12, at + 12 + length));
      at += 16 + length;
    }
    expect(events).toHaveLength(2);
    expect(events[0]?.toString('latin1')).toContain('brain.Event:2');
    // wall time (9 bytes), step 300 as a varint, then the summary: tag and float
    expect([...(events[1] as Buffer).subarray(9, 12)]).toEqual([0x10, 0xac, 0x02]);
    expect((events[1] as Buffer).toString('latin1')).toContain('train/loss');
    expect((events[1] as Buffer).readFloatLE((events[1] as Buffer).length - 4)).toBe(1.5);
  });
});

describe('the log of a run', () => {
  it('has each step once, also after a kill in the middle of a line', async () => {
    const jsonl = join(folder, 'deep', 'log.jsonl');
    const log = await TrainingLog.open({ jsonl, tensorboard: join(folder, 'events') }, null);
    for (let n = 0; n < 4; n++) {
      if (n === 2) await log.validation(point(n));
      await log.step(step(n), cost);
    }
    await log.close();
    await writeFile(jsonl, `${await readFile(jsonl, 'utf8')}{"kind":"step","st`);
    // the state was written after two steps and the validation that followed
    const resumed = await TrainingLog.open({ jsonl, tensorboard: join(folder, 'events') }, { step: 2, curve: [point(2)] });
    for (let n = 2; n < 5; n++) await resumed.step(step(n), cost);
    await resumed.close();
    const lines = (await readFile(jsonl, 'utf8'))
      .trimEnd()
      .split('\n')
      .map((l) => JSON.parse(l) as { kind: string; step: number });
    expect(lines.filter((l) => l.kind === 'step').map((l) => l.step)).toEqual([0, 1, 2, 3, 4]);
    expect(lines.filter((l) => l.kind === 'validation').map((l) => l.step)).toEqual([2]);
    expect(await readdir(join(folder, 'events'))).toHaveLength(2);
  });
});
