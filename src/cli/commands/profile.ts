import { join, resolve } from 'node:path';
import { writeFileAtomic } from '../../core/files.ts';
import { requireReplaceable } from '../../model/save.ts';
import { repairJson } from '../../repair/result.ts';
import { textTable } from '../../report/text-table.ts';
import type { PhaseTime } from '../../study/cell-result.ts';
import type { CommandContext } from '../command-context.ts';
import { prepareRepair } from '../prepare-repair.ts';
import { prepareSelect, selectDocument } from '../prepare-select.ts';
import { Trace } from '../trace.ts';

interface Profiled {
  readonly phases: readonly PhaseTime[];
  readonly flops: number;
  readonly document: Readonly<Record<string, unknown>>;
}

export async function run(context: CommandContext): Promise<number> {
  const { options, argument, result } = context;
  const tracePath = options.text('trace') ?? 'mendset-trace.json';
  await options.output(tracePath, 'file', 'trace');
  if (argument !== undefined && argument !== 'select' && argument !== 'repair')
    options.problem(`Expected mendset profile select or mendset profile repair but received "${argument}".`);
  const trace = new Trace();
  const started = performance.now();
  const profiled = argument === 'repair' ? await profileRepair(context, trace) : await profileSelect(context, trace);
  const seconds = (performance.now() - started) / 1000;
  const spans = trace.finish();
  await writeFileAtomic(tracePath, trace.json());
  const peakMemoryBytes = process.resourceUsage().maxRSS * 1024;
  const busy = profiled.phases.reduce((sum, p) => sum + p.seconds, 0);
  const rows = profiled.phases.map((p) => [p.phase, p.seconds.toFixed(3), `${busy > 0 ? ((100 * p.seconds) / busy).toFixed(1) : '0.0'} %`]);
  const rate = busy > 0 ? profiled.flops / busy / 1e9 : 0;
  const text = [
    textTable(['phase', 'seconds', 'share'], rows),
    '',
    `whole command ${seconds.toFixed(3)} s, loading and reading included`,
    `${(profiled.flops / 1e9).toPrecision(4)} GFLOP counted${rate > 0 ? `, ${rate.toPrecision(3)} GFLOP/s` : ''}`,
    `peak memory ${(peakMemoryBytes / 2 ** 20).toFixed(0)} MiB`,
    `trace  ${tracePath} (open it in Perfetto or speedscope)`,
  ].join('\n');
  result(
    {
      command: argument,
      seconds,
      phases: profiled.phases,
      spans,
      flopsCounted: profiled.flops,
      peakMemoryBytes,
      trace: tracePath,
      ...profiled.document,
    },
    text,
  );
  return 0;
}

async function profileSelect(context: CommandContext, trace: Trace): Promise<Profiled> {
  const { options, progress, signal } = context;
  const out = options.text('out');
  await options.output(out, 'file', 'out');
  const prepared = await prepareSelect(context);
  options.finish();
  const outcome = await prepared.run({
    signal,
    onProgress: (event) => {
      trace.progress(event);
      progress.update(event);
    },
  });
  if (out !== undefined)
    await writeFileAtomic(
      out,
      [...outcome.selection.indices].map((i) => `${prepared.pairs?.records[i]?.raw ?? JSON.stringify({ index: i })}\n`).join(''),
    );
  return {
    phases: outcome.summary.phases,
    flops: outcome.summary.featureFlops,
    document: { selection: selectDocument(outcome) },
  };
}

async function profileRepair(context: CommandContext, trace: Trace): Promise<Profiled> {
  const { options, progress, signal } = context;
  const out = options.text('out');
  await options.output(out, 'folder', 'out');
  if (out !== undefined) await options.attempt(() => requireReplaceable(resolve(out)));
  const prepared = await prepareRepair(context);
  options.finish();
  const done = await prepared.run(
    {
      signal,
      onProgress: (event) => {
        trace.progress(event);
        progress.update(event);
      },
      onStep: (log) => trace.step(`step ${log.step}`, { loss: log.loss, tokens: log.tokens, block: log.block }),
    },
    async (model, repaired) => {
      if (out === undefined) return;
      await model.save(out);
      await writeFileAtomic(join(out, 'repair.json'), repairJson(repaired));
    },
  );
  const { train, validation, reference } = done.cost.seconds;
  return {
    phases: [
      { phase: 'training', seconds: train },
      { phase: 'validation', seconds: validation },
      { phase: 'reference', seconds: reference },
    ],
    flops: done.cost.flopsCounted,
    document: { repair: { label: done.label, steps: done.steps, examples: done.examples, cost: done.cost, blockCounts: done.blockCounts } },
  };
}
