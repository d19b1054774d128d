import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SELECT_METHODS } from '../../src/cli/select-methods.ts';
import { writeNpy } from '../../src/data/npy.ts';
import { cli, errors } from '../unit/cli-fixture.ts';

const lists = fileURLToPath(new URL('../golden/embeddings/lists.parquet', import.meta.url));
let folder = '';
const at = (name: string): string => join(folder, name);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mendset-select-inputs-'));
  await writeNpy(
    at('x.npy'),
    Float32Array.from({ length: 160 }, (_, i) => Math.sin(i * i)),
    [40, 4],
  );
  await writeNpy(
    at('scores.npy'),
    Float64Array.from({ length: 40 }, (_, i) => Math.cos(i)),
  );
  await writeNpy(
    at('groups.npy'),
    Int32Array.from({ length: 40 }, (_, i) => i % 3),
  );
});
afterAll(() => rm(folder, { recursive: true }));

describe('select on features alone', () => {
  it.each(SELECT_METHODS)('%s', async (method) => {
    const scored = ['grand', 'ccs', 'd2'].includes(method);
    const args = ['select', '--method', method, '--budget', '10', '--json', '--seed', '3', '--embeddings', at('x.npy')];
    const run = await cli([...args, ...(scored ? ['--scores', at('scores.npy')] : [])]);
    expect(run.stderr).toBe('');
    const document = JSON.parse(run.stdout) as Record<string, unknown>;
    expect(document).toMatchObject({ method, n: 40, budget: 10, seed: '3', poolHash: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect((document['indices'] as number[]).length).toBeLessThanOrEqual(10);
    expect(document['memory']).toMatchObject({ input: 640 + (scored ? 320 : 0) });
  });
  it('reads Parquet and groups, and obeys a memory limit', async () => {
    const base = ['select', '--budget', '3', '--json'];
    const parquet = await cli([...base, '--method', 'herding', '--embeddings', `${lists}#embedding`, '--memory-limit', '1MiB']);
    expect(JSON.parse(parquet.stdout)).toMatchObject({ n: 7, method: 'herding' });
    const groups = await cli([...base, '--method', 'stratified', '--groups', at('groups.npy')]);
    expect(JSON.parse(groups.stdout)).toMatchObject({ quotas: [1, 1, 1], parameters: { by: 'group' } });
    await writeNpy(
      at('negative.npy'),
      Int32Array.from({ length: 40 }, (_, i) => -(i % 2)),
    );
    const negative = await cli([...base, '--method', 'stratified', '--groups', at('negative.npy')]);
    expect(JSON.parse(negative.stdout)).toMatchObject({ quotas: [2, 1] });
    const crowded = await cli([...base, '--method', 'saps', '--embeddings', at('x.npy'), '--clusters', '99']);
    expect(JSON.parse(crowded.stdout)).toMatchObject({ warnings: ['99 clusters were asked for; the 40 records are a cluster each.'] });
    expect(errors(await cli([...base, '--method', 'saps', '--embeddings', at('groups.npy')]))[0]).toMatch(
      /Expected a matrix of floats .* shape \(40\) of '<i4'; save array\.reshape\(n, -1\)\.astype\('float32'\)/,
    );
    const small = await cli([...base, '--method', 'facility-location', '--embeddings', at('x.npy'), '--memory-limit', '10kB']);
    expect(small.code).toBe(2);
    expect(errors(small)[0]).toMatch(/x\.npy to fit into 9\.8 KiB \(the memory limit\) but it needs about 16\.0 MiB/);
    expect(errors(await cli([...base, '--method', 'random', '--embeddings', at('x.npy'), '--memory-limit', 'much']))[0]).toMatch(
      /Expected --memory-limit to be a size such as 4GiB/,
    );
    expect(errors(await cli([...base, '--method', 'random', '--embeddings', at('x.npy'), '--threshold', '0.9']))[0]).toMatch(
      /Expected no --threshold with --method random, which does not use it/,
    );
  });
});
