import { describe, expect, it } from 'vitest';
import type { StepRequest, StepResult } from '../../../src/model/trainer.ts';
import { dapt } from '../../../src/repair/dapt.ts';
import { type LoopHooks, runLoop } from '../../../src/repair/loop.ts';
import { Objective } from '../../../src/repair/objective.ts';
import { type RepairOptions, resolveOptions } from '../../../src/repair/options.ts';
import { ReferenceCache } from '../../../src/repair/reference-cache.ts';
import { prepareData } from '../../../src/repair/repair-data.ts';
import { newRunState } from '../../../src/repair/run-state.ts';
import { byteTokenizer } from '../../byte-tokenizer.ts';
import { pairRecords } from '../../pair-records.ts';

const model = { tokenizer: byteTokenizer, requireTokenizer: () => byteTokenizer, summary: { vocab: 257, context: 64, eos: 256 } };

/** A trainer whose validation losses are given in order; training losses fall. */
async function run(
  records: number,
  validationLosses: number[],
  options: RepairOptions = {},
  hooks: LoopHooks = {},
  trainingLoss = (step: number) => 5 / (step + 1),
) {
  const method = dapt();
  const resolved = resolveOptions(method, options, 64);
  const data = prepareData(model, { train: pairRecords(records), validation: pairRecords(8, 1000), appendEos: false }, method, resolved);
  const events: string[] = [];
  const rates: number[] = [];
  let step = 0;
  let validation = 0;
  const trainer = {
    async step(request: StepRequest): Promise<StepResult> {
      const loss = request.update ? trainingLoss(step++) : (validationLosses[validation++] ?? 99);
      events.push(request.update ? 's' : 'v');
      if (request.update) rates.push(request.lr as number);
      return {
        loss,
        lossRepair: loss,
        lossKl: 0,
        gradientNorm: 1,
        scoredTokens: 4,
        tokens: 8,
        blocks: new Int32Array(0),
        sensitivities: new Float64Array(0),
        pairMargins: new Float64Array(0),
        flops: 10,
        microBatches: 1,
        checkpointed: false,
      };
    },
    snapshot: () => void events.push('*'),
  };
  const state = newRunState(3);
  const objective = new Objective(method, resolved, new ReferenceCache(), { context: 64, width: 8 });
  const stopped = await runLoop(trainer, objective, method, resolved, data, undefined, state, hooks);
  return { stopped, state, events: events.join(''), rates };
}

describe('runLoop', () => {
  it('validates before a step once enough examples were seen, and at the end', async () => {
    const { stopped, events, state } = await run(24, [3, 2, 1], { evalEvery: 8 });
    expect(stopped).toBe('epochs');
    expect(events).toBe('ssv*ssv*ssv*');
    expect(state.examples).toBe(24);
    expect(state.curve.map((p) => p.examples)).toEqual([8, 16, 24]);
  });
  it('has no final validation under the paper preset', async () => {
    const { events, state } = await run(24, [3, 2, 1], { evalEvery: 16, preset: 'paper' });
    expect(events).toBe('ssssv*ss');
    expect(state.best?.step).toBe(4);
  });
  it('keeps only strictly better weights and stops when the patience is over', async () => {
    const { stopped, events, state } = await run(80, [3, 3, 4, 2, 2, 2, 2, 1], { evalEvery: 4, patience: 3 });
    expect(stopped).toBe('patience');
    expect(events).toBe('sv*svsvsv*svsvsv');
    expect(state.best).toEqual({ step: 4, loss: 2 });
    expect(state.examples).toBe(28);
  });
  it('stops at the step limit, and repeats records in later epochs', async () => {
    expect((await run(8, [3], { maxSteps: 3, epochs: 5 })).state).toMatchObject({ step: 3, examples: 12, epoch: 1 });
    const two = await run(6, [3], { epochs: 2 });
    expect(two.state).toMatchObject({ step: 4, examples: 12 });
    expect(two.state.log.map((l) => l.examples)).toEqual([4, 6, 10, 12]);
  });
  it('warms up', async () => {
    const { rates } = await run(12, [1], { learningRate: 1, warmupSteps: 1 });
    expect(rates).toEqual([0.5, 1, 1]);
  });
  it('rejects a loss that is not finite, with the state before that step', async () => {
    const error = run(12, [1], {}, {}, (step) => (step === 1 ? Number.NaN : 1));
    await expect(error).rejects.toMatchObject({ code: 'non-finite', message: expect.stringContaining('step 1') });
  });
  it('stops between steps when aborted', async () => {
    const controller = new AbortController();
    const done = run(40, [1], {}, { signal: controller.signal, onStep: (log) => log.step === 2 && controller.abort() });
    await expect(done).rejects.toMatchObject({ code: 'aborted' });
  });
});
