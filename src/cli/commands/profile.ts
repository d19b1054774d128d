import { join, resolve } from 'node:path';
import { writeFileAtomic } from '../../core/files.ts';
import { formatBytes } from '../../core/memory.ts';
import { requireReplaceable } from '../../model/save.ts';
import { repairJson } from '../../repair/result.ts';
import { textTable } from '../../report/text-table.ts';
import type { PhaseTime } from '../../study/cell-result.ts';
import { watchAllocations } from '../allocations.ts';
import type { CommandContext } from '../command-context.ts';
import { type MachineProbe, probeMachine } from '../machine-probe.ts';
import { prepareRepair } from '../prepare-repair.ts';
import { prepareSelect, selectDocument } from '../prepare-select.ts';
import { Trace } from '../trace.ts';

interface ProfiledPhase extends PhaseTime {
  /** By formula or counted by the engine; null where neither is known */
  readonly flops: number | null;
  /** Read and written at least, by formula */
  readonly bytes: number | null;
}

interface Profiled {
  readonly phases: readonly ProfiledPhase[];
  /** Of these, the phases that choose records */
  readonly selectionSeconds: number;
  readonly document: Readonly<Record<string, unknown>>;
}

export async function run(context: CommandContext): Promise<number> {
  const { options, argument, result, shared, signal } = context;
  const tracePath = options.text('trace') ?? 'mendset-trace.json';
  const profilePath = options.text('profile') ?? 'profile.json';
  await options.output(tracePath, 'file', 'trace');
  await options.output(profilePath, 'file', 'profile');
  if (argument !== undefined && argument !== 'select' && argument !== 'repair')
    options.problem(`Expected mendset profile select or mendset profile repair but received "${argument}".`);
  const trace = new Trace();
  const allocations = watchAllocations();
  const started = performance.now();
  const profiled = argument === 'repair' ? await profileRepair(context, trace) : await profileSelect(context, trace);
  const seconds = (performance.now() - started) / 1000;
  const spans = trace.finish();
  const allocated = await allocations.end();
  const peakMemoryBytes = process.resourceUsage().maxRSS * 1024;
  const probe = await probeMachine({ backend: shared.backend, threads: shared.threads, signal });
  await writeFileAtomic(tracePath, trace.json());
  const phases = profiled.phases.map((p) => rated(p, probe));
  const busy = phases.reduce((sum, p) => sum + p.seconds, 0);
  const flops = phases.reduce((sum, p) => sum + (p.flops ?? 0), 0);
  const overhead = { seconds: trace.ownSeconds, share: seconds > 0 ? trace.ownSeconds / seconds : 0 };
  const document = {
    command: argument,
    seconds,
    phases,
    selectionShare: seconds > 0 ? profiled.selectionSeconds / seconds : 0,
    flopsCounted: flops,
    peakMemoryBytes,
    allocations: allocated,
    machine: probe,
    overhead,
    spans,
    trace: tracePath,
    profile: profilePath,
    ...profiled.document,
  };
  await writeFileAtomic(profilePath, `${JSON.stringify(document, null, 2)}\n`);
  const percent = (share: number | null) => (share === null ? '' : `${(100 * share).toFixed(1)} %`);
  const rows = phases.map((p) => [
    p.phase,
    p.seconds.toFixed(3),
    percent(busy > 0 ? p.seconds / busy : 0),
    p.flops === null ? '' : (p.flops / 1e9).toPrecision(3),
    p.gflopPerSecond?.toPrecision(3) ?? '',
    percent(p.shareOfPeak),
    p.bytes === null ? '' : (p.bytes / 1e9).toPrecision(3),
    percent(p.shareOfBandwidth),
  ]);
  const text = [
    textTable(['phase', 'seconds', 'share', 'GFLOP', 'GFLOP/s', 'of peak', 'GB', 'of bandwidth'], rows),
    '',
    `whole command  ${seconds.toFixed(3)} s, loading and reading included; selecting is ${percent(document.selectionShare)} of it`,
    `this machine   ${probe.gflopPerSecond.toPrecision(3)} GFLOP/s and ${probe.gigabytesPerSecond.toPrecision(3)} GB/s, by two probes of the engine's kernels`,
    `memory         peak ${formatBytes(peakMemoryBytes)}; at most ${formatBytes(allocated.peakExternalBytes)} in arrays and engine, ${allocated.garbageCollections} garbage collections in ${allocated.garbageCollectionSeconds.toFixed(3)} s`,
    `profiling      took ${(1000 * overhead.seconds).toFixed(1)} ms, ${(100 * overhead.share).toFixed(2)} % of the command`,
    `profile  ${profilePath}`,
    `trace    ${tracePath} (open it in Perfetto or speedscope)`,
  ].join('\n');
  result(document, text);
  return 0;
}

/** A phase beside what the machine can do. A share above 1 means that exact bounds skipped work which the formula counts. */
function rated(phase: ProfiledPhase, probe: MachineProbe) {
  const { seconds, flops, bytes } = phase;
  const gflopPerSecond = flops === null || seconds === 0 ? null : flops / seconds / 1e9;
  const gigabytesPerSecond = bytes === null || seconds === 0 ? null : bytes / seconds / 1e9;
  return {
    ...phase,
    gflopPerSecond,
    shareOfPeak: gflopPerSecond === null ? null : gflopPerSecond / probe.gflopPerSecond,
    gigabytesPerSecond,
    shareOfBandwidth: gigabytesPerSecond === null ? null : gigabytesPerSecond / probe.gigabytesPerSecond,
  };
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
  const { work } = outcome.selection;
  const features = outcome.summary.phases.filter((p) => !Object.hasOwn(outcome.selection.timings, p.phase));
  return {
    // the features' operations are counted together, and nearly always there is one of them
    phases: outcome.summary.phases.map((p) => ({
      ...p,
      flops: work[p.phase]?.flops ?? (p === features[0] && outcome.summary.featureFlops > 0 ? outcome.summary.featureFlops : null),
      bytes: work[p.phase]?.bytes ?? null,
    })),
    selectionSeconds: outcome.summary.seconds,
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
      onStep: (log) => trace.step(`step ${log.step}`, { loss: log.loss, tokens: log.tokens, blocks: log.blocks?.join(' ') ?? null }),
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
      {
        phase: 'training and validation',
        seconds: train + validation,
        flops: done.cost.flopsCounted - done.cost.flopsReference,
        bytes: null,
      },
      { phase: 'reference', seconds: reference, flops: done.cost.flopsReference, bytes: null },
    ],
    selectionSeconds: 0,
    document: { repair: { label: done.label, steps: done.steps, examples: done.examples, cost: done.cost, blockCounts: done.blockCounts } },
  };
}
