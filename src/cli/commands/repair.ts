import { join, resolve } from 'node:path';
import { pathKind, writeFileAtomic } from '../../core/files.ts';
import { availableMemory, formatBytes } from '../../core/memory.ts';
import { packageVersion } from '../../core/package-version.ts';
import { requireReplaceable } from '../../model/save.ts';
import { methodLabel } from '../../repair/method.ts';
import { repairJson, sensitivityTable } from '../../repair/result.ts';
import { removeRunState, STATE_FILE } from '../../repair/run-state.ts';
import type { CommandContext } from '../command-context.ts';
import { commandLine } from '../command-line.ts';
import { prepareRepair } from '../prepare-repair.ts';

export async function run(context: CommandContext): Promise<number> {
  const { options, progress, signal, argv, result } = context;
  if (options.flag('dryRun')) return await dryRun(context);
  const out = options.required('out', 'to name the folder of the repaired model');
  const before = options.problems.length;
  await options.output(out, 'folder', 'out');
  if (out !== '' && options.problems.length === before) await options.attempt(() => requireReplaceable(resolve(out)));
  const model = options.text('model');
  if (out !== '' && model !== undefined && resolve(model) === resolve(out))
    options.problem(`Expected --out to be another folder than --model but both are '${out}'; the original would be lost.`);
  const resume = options.flag('resume');
  const state = `${out.replace(/[\\/]+$/, '')}.state`;
  const isUnfinished = async () => (await pathKind(join(state, STATE_FILE)).catch(() => 'none')) === 'file';
  const unfinished = out !== '' && (await isUnfinished());
  if (unfinished && !resume)
    options.problem(
      `Expected no unfinished repair beside --out but there is one at '${state}'; add --resume to continue it, or delete that folder.`,
    );
  if (resume && !unfinished && out !== '')
    options.problem(`Expected an unfinished repair at '${state}' to resume but there is none; leave out --resume.`);
  const prepared = await prepareRepair(context);
  options.finish();

  context.onInterrupted(async () =>
    (await isUnfinished())
      ? `The state is saved in ${state}. To continue:\n  ${commandLine(argv, ['--resume'])}`
      : `No step was done, so nothing is saved. To run it again:\n  ${commandLine(argv)}`,
  );
  let loss = '';
  const done = await prepared.run(
    {
      signal,
      onProgress: (event) => progress.update(loss === '' ? event : { ...event, detail: event.detail ?? loss }),
      onStep: (log) => {
        loss = `loss ${log.loss.toFixed(3)}`;
      },
      checkpoint: { directory: state },
      resume: unfinished,
    },
    async (model, repaired) => {
      await model.save(out);
      const table = sensitivityTable(repaired);
      if (table.length > 0) {
        const rows = table.map((row) => [row.block, row.initial ?? '', row.mean ?? '', row.steps].join(','));
        await writeFileAtomic(join(out, 'sensitivity.csv'), `${['block,initial,mean,steps', ...rows].join('\n')}\n`);
      }
      await writeFileAtomic(join(out, 'repair.json'), repairJson(repaired, { mendset: packageVersion() }));
    },
  );
  await removeRunState(state);
  for (const warning of done.warnings) progress.log(`warning: ${warning}`);
  const { log: _, ...document } = done;
  const best = done.bestLoss === null ? '' : `, best validation loss ${done.bestLoss.toFixed(4)} after step ${done.bestStep}`;
  result(
    { out, ...document },
    `${done.label}: ${done.steps} steps on ${done.examples} examples in ${done.cost.seconds.total.toFixed(1)} s, ${(done.cost.flopsCounted / 1e12).toPrecision(3)} TFLOP${best}\nmodel    ${out}\ndetails  ${join(out, 'repair.json')}`,
  );
  return 0;
}

/** Prints what the repair would do and hold; reads the data and no weights. */
async function dryRun(context: CommandContext): Promise<number> {
  const { options, progress, result } = context;
  await options.output(options.text('out'), 'folder', 'out');
  const prepared = await prepareRepair(context);
  options.finish();
  const forecast = await prepared.forecast();
  for (const warning of forecast.warnings) progress.log(`warning: ${warning}`);
  const { memory: m, referenceBytes } = forecast;
  const parts = [
    ['weights', m.weights],
    ['head of the original', m.reference],
    ['optimiser', m.optimizer],
    ['best weights so far', m.snapshot],
    ['activations and gradients', m.work],
    ['packed operands', m.scratch],
  ] as const;
  const cut = m.microBatches > 1 ? `, each step in ${m.microBatches} micro-batches` : '';
  const checkpointed = m.checkpointed ? ', activations computed again' : '';
  const grows = m.optimizerMost - m.optimizer + Math.max(0, m.weightsMost - m.weights) + m.snapshotMost - m.snapshot;
  const later = grows > 0 ? `, ${formatBytes(m.peak + grows)} once every block was chosen` : '';
  result(
    { label: methodLabel(prepared.method), ...forecast },
    [
      `${methodLabel(prepared.method)}: ${forecast.steps} steps on ${forecast.records} records (${forecast.validationRecords} held back), ${forecast.tokens} tokens, ${(forecast.flops / 1e12).toPrecision(3)} TFLOP${cut}${checkpointed}`,
      `memory   ${formatBytes(m.peak)} at the largest step${later}; ${formatBytes(availableMemory())} are free`,
      ...parts.filter(([, bytes]) => bytes > 0).map(([name, bytes]) => `         ${formatBytes(bytes).padStart(10)}  ${name}`),
      ...(referenceBytes > 0 ? [`files    ${formatBytes(referenceBytes)} for what the original model says about the normal texts`] : []),
    ].join('\n'),
  );
  return 0;
}
