import { join, resolve } from 'node:path';
import { writeFileAtomic } from '../../core/files.ts';
import { formatBytes } from '../../core/memory.ts';
import type { FeatureKind } from '../../features/feature.ts';
import { requireReplaceable } from '../../model/save.ts';
import { type MachineProbe, probeMachine } from '../../native/machine-probe.ts';
import { OperationProfile, type OperationRecord, type OperationTotal } from '../../native/operation-profile.ts';
import { repairJson } from '../../repair/result.ts';
import { textTable } from '../../report/text-table.ts';
import { watchCollections } from '../collections.ts';
import type { CommandContext } from '../command-context.ts';
import { prepareRepair } from '../prepare-repair.ts';
import { prepareSelect, type SelectOutcome, selectDocument } from '../prepare-select.ts';
import { Trace, type TracedPhase } from '../trace.ts';

/** Operations that are kept one by one for the trace; about 30 MB of it. */
const MOST_SPANS = 200_000;
/** Rows of the terminal's table of operations; profile.json has them all. */
const MOST_ROWS = 12;

interface ProfiledPhase {
  readonly phase: string;
  readonly seconds: number;
  /** Counted by the engine or by formula; null where neither is known */
  readonly flops: number | null;
  /** Read and written at least */
  readonly bytes: number | null;
}

interface Profiled {
  /** From what was traced, up to the end of the command */
  phases(traced: readonly TracedPhase[]): readonly ProfiledPhase[];
  /** Choosing records and what it needs; null where nothing is chosen */
  readonly selectionSeconds: number | null;
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
  const engine = await options.attempt(async () => new OperationProfile({ ...shared, mostSpans: MOST_SPANS }));
  const engineStart = performance.now();
  const trace = new Trace(engine ? () => engine.totals() : null);
  const collections = watchCollections();
  const profiled = argument === 'repair' ? await profileRepair(context, trace) : await profileSelect(context, trace);
  const traced = trace.finish('write');
  const seconds = traced.reduce((sum, p) => sum + p.seconds, 0);
  const { allocations, allocatedBytes, ...all } = (engine as OperationProfile).totals();
  const record = (engine as OperationProfile).end();
  const collected = await collections.end();
  const peakMemoryBytes = process.resourceUsage().maxRSS * 1024;
  const probe = await probeMachine({ backend: shared.backend, threads: shared.threads, signal });
  trace.operations(record, engineStart);
  await writeFileAtomic(tracePath, trace.json());

  const phases = profiled.phases(traced).map((p) => rated(p, probe));
  const operations = operationRows(record, probe);
  const ownSeconds = trace.ownSeconds + record.recordingSeconds;
  const document = {
    command: argument,
    seconds,
    phases,
    operations,
    operationSeconds: all.seconds,
    selectionShare: profiled.selectionSeconds === null ? null : profiled.selectionSeconds / seconds,
    flopsCounted: phases.reduce((sum, p) => sum + (p.flops ?? 0), 0),
    peakMemoryBytes,
    allocations: { engine: allocations, engineBytes: allocatedBytes, ...collected },
    machine: probe,
    overhead: { seconds: ownSeconds, share: ownSeconds / seconds },
    spans: traced,
    spansLeftOut: record.spansLeftOut,
    trace: tracePath,
    profile: profilePath,
    ...profiled.document,
  };
  await writeFileAtomic(profilePath, `${JSON.stringify(document, null, 2)}\n`);
  result(document, profileText(document, tracePath, profilePath));
  return 0;
}

/** What was rated, in the words of a table. */
interface Rated {
  readonly seconds: number;
  readonly flops: number | null;
  readonly bytes: number | null;
  readonly gflopPerSecond: number | null;
  readonly shareOfPeak: number | null;
  readonly gigabytesPerSecond: number | null;
  readonly shareOfBandwidth: number | null;
}

interface ProfileDocument {
  readonly seconds: number;
  readonly phases: readonly (Rated & { readonly phase: string })[];
  readonly operations: readonly (Rated & { readonly operation: string; readonly calls: number })[];
  readonly operationSeconds: number;
  readonly selectionShare: number | null;
  readonly peakMemoryBytes: number;
  readonly allocations: {
    readonly engine: number;
    readonly engineBytes: number;
    readonly garbageCollections: number;
    readonly garbageCollectionSeconds: number;
  };
  readonly machine: MachineProbe;
  readonly overhead: { readonly seconds: number; readonly share: number };
  readonly spansLeftOut: number;
}

function profileText(document: ProfileDocument, tracePath: string, profilePath: string): string {
  const { seconds, phases, operations, machine, allocations, overhead } = document;
  const percent = (share: number | null) => (share === null ? '' : `${(100 * share).toFixed(1)} %`);
  const columns = (row: Rated, of: number) => [
    row.seconds.toFixed(3),
    percent(of > 0 ? row.seconds / of : null),
    row.flops === null || row.flops === 0 ? '' : (row.flops / 1e9).toPrecision(3),
    row.gflopPerSecond?.toPrecision(3) ?? '',
    percent(row.shareOfPeak),
    row.bytes === null || row.bytes === 0 ? '' : (row.bytes / 1e9).toPrecision(3),
    percent(row.shareOfBandwidth),
  ];
  const heads = ['seconds', 'share', 'GFLOP', 'GFLOP/s', 'of peak', 'GB', 'of bandwidth'];
  const shown = operations.slice(0, MOST_ROWS);
  const rest = operations.slice(MOST_ROWS).reduce((sum, o) => sum + o.seconds, 0);
  return [
    textTable(
      ['phase', ...heads],
      phases.map((p) => [p.phase, ...columns(p, seconds)]),
    ),
    ...(shown.length === 0
      ? []
      : [
          '',
          textTable(
            ['operation of a model', 'calls', ...heads],
            shown.map((o) => [o.operation, String(o.calls), ...columns(o, document.operationSeconds)]),
          ),
          ...(operations.length > MOST_ROWS ? [`and ${operations.length - MOST_ROWS} more in ${rest.toFixed(3)} s`] : []),
        ]),
    '',
    `whole command  ${seconds.toFixed(3)} s, loading and reading included${document.selectionShare === null ? '' : `; selecting is ${percent(document.selectionShare)} of it`}`,
    `this machine   ${machine.gflopPerSecond.toPrecision(3)} GFLOP/s and ${machine.gigabytesPerSecond.toPrecision(3)} GB/s, by two probes of the engine's kernels; above 100 % bytes came from caches`,
    `memory         peak ${formatBytes(document.peakMemoryBytes)}; ${allocations.engine} buffers of the engine, ${formatBytes(allocations.engineBytes)} together; ${allocations.garbageCollections} garbage collections in ${allocations.garbageCollectionSeconds.toFixed(3)} s`,
    `profiling      took ${(1000 * overhead.seconds).toFixed(1)} ms, ${(100 * overhead.share).toFixed(2)} % of the command`,
    `profile  ${profilePath}`,
    `trace    ${tracePath} (open it in Perfetto or speedscope)${document.spansLeftOut > 0 ? `; without the last ${document.spansLeftOut} operations, which the tables count` : ''}`,
  ].join('\n');
}

/** A phase or operation beside what the machine can do. A share above 1 means that exact bounds skipped work which the formula counts, or data that stayed in caches. */
function rated<T extends { seconds: number; flops: number | null; bytes: number | null }>(work: T, probe: MachineProbe): T & Rated {
  const { seconds, flops, bytes } = work;
  const gflopPerSecond = !flops || seconds === 0 ? null : flops / seconds / 1e9;
  const gigabytesPerSecond = !bytes || seconds === 0 ? null : bytes / seconds / 1e9;
  return {
    ...work,
    gflopPerSecond,
    shareOfPeak: gflopPerSecond === null ? null : gflopPerSecond / probe.gflopPerSecond,
    gigabytesPerSecond,
    shareOfBandwidth: gigabytesPerSecond === null ? null : gigabytesPerSecond / probe.gigabytesPerSecond,
  };
}

/** Those that ran, the longest first. */
function operationRows({ operations }: OperationRecord, probe: MachineProbe) {
  return operations
    .filter((o) => o.calls > 0)
    .sort((a, b) => b.seconds - a.seconds)
    .map(({ name, ...total }: OperationTotal & { name: string }) => rated({ operation: name.replaceAll('_', ' '), ...total }, probe));
}

function traceOf(traced: TracedPhase): ProfiledPhase {
  const { phase, seconds, flops, bytes } = traced;
  return { phase, seconds, flops: flops > 0 ? flops : null, bytes: bytes > 0 ? bytes : null };
}

/** What the progress of computing a feature is called. */
const FEATURE_PHASES: Readonly<Partial<Record<FeatureKind, string>>> = {
  embeddings: 'embedding',
  gradientNorms: 'gradient norms',
  scores: 'scores',
  toxicity: 'classification',
};

/** Reading and loading as traced; features and the selector's own phases as they measure themselves. */
function selectPhases(outcome: SelectOutcome, traced: readonly TracedPhase[]): ProfiledPhase[] {
  const { work } = outcome.selection;
  const own = outcome.summary.phases.map(({ phase, seconds }): ProfiledPhase => {
    const engine = traced.find((t) => t.phase === FEATURE_PHASES[phase as FeatureKind]);
    return { phase, seconds, flops: work[phase]?.flops ?? (engine?.flops || null), bytes: work[phase]?.bytes ?? (engine?.bytes || null) };
  });
  const outside = (...names: readonly string[]) => traced.filter((t) => names.includes(t.phase)).map(traceOf);
  return [...outside('read data', 'load model'), ...own, ...outside('write')];
}

async function profileSelect(context: CommandContext, trace: Trace): Promise<Profiled> {
  const { options, progress, signal } = context;
  const out = options.text('out');
  await options.output(out, 'file', 'out');
  const prepared = await prepareSelect(context);
  options.finish();
  trace.mark('read data');
  const outcome = await prepared.run({
    signal,
    onProgress: (event) => {
      trace.progress(event);
      progress.update(event);
    },
  });
  trace.mark('choose');
  if (out !== undefined)
    await writeFileAtomic(
      out,
      [...outcome.selection.indices].map((i) => `${prepared.pairs?.records[i]?.raw ?? JSON.stringify({ index: i })}\n`).join(''),
    );
  return {
    phases: (traced) => selectPhases(outcome, traced),
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
  trace.mark('read data');
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
  return {
    phases: (traced) => traced.map(traceOf),
    selectionSeconds: null,
    document: { repair: { label: done.label, steps: done.steps, examples: done.examples, cost: done.cost, blockCounts: done.blockCounts } },
  };
}
