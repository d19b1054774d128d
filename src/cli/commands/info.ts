import { arch, cpus, freemem, platform, totalmem } from 'node:os';
import { MendsetError } from '../../core/errors.ts';
import { formatBytes } from '../../core/memory.ts';
import { packageVersion } from '../../core/package-version.ts';
import { hubEnvironment } from '../../data/hub/hub-environment.ts';
import { LanguageModel } from '../../model/language-model.ts';
import { WEIGHT_STORAGES } from '../../model/load-weights.ts';
import { type EngineInfo, engineInfo } from '../../native/engine-info.ts';
import { cacheEntries, folderSize } from '../cache-folders.ts';
import type { CommandContext } from '../command-context.ts';
import { commandLine } from '../command-line.ts';

/** `mendset info`: works without the engine too, and then says why it is missing. */
export async function run({ options, shared, signal, progress, result }: CommandContext): Promise<number> {
  const directory = options.text('model');
  await options.input(directory, 'folder', 'model');
  const study = options.text('study');
  const weights = options.oneOf('weights', WEIGHT_STORAGES);
  await options.input(study, 'folder', 'study');
  options.finish();
  let engine: EngineInfo | null = null;
  let problem: string | null = null;
  try {
    engine = engineInfo();
  } catch (error) {
    if (!(error instanceof MendsetError)) throw error;
    problem = error.message;
  }
  let model = null;
  if (directory !== undefined) {
    using loaded = await LanguageModel.load(directory, {
      backend: shared.backend,
      threads: shared.threads,
      weights,
      signal,
      onProgress: (event) => progress.update(event),
    });
    model = {
      directory,
      hash: loaded.hash,
      tokenizer: loaded.tokenizer && {
        kind: loaded.tokenizer.kind,
        vocabulary: loaded.tokenizer.vocabularySize,
        eos: loaded.tokenizer.eos,
      },
      ...loaded.summary,
    };
  }
  const machine = {
    platform: `${platform()}-${arch()}`,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    freeBytes: freemem(),
    node: process.version,
  };
  const lines: [string, string][] = [
    ['mendset', packageVersion()],
    ['node', `${machine.node} on ${machine.platform}`],
    [
      'processor',
      `${machine.cpu}, ${machine.cores} cores, ${(machine.memoryBytes / 2 ** 30).toFixed(1)} GiB, ${formatBytes(machine.freeBytes)} free`,
    ],
  ];
  if (engine) {
    lines.push(
      ['engine', engine.compiler],
      ['instructions', `${engine.isa} (available: ${engine.isasAvailable.join(', ')})`],
      ['threads', String(engine.threads)],
    );
    for (const b of engine.backends)
      lines.push([`backend ${b.name}`, `${b.usable ? 'usable' : 'not usable'}${b.detail ? `: ${b.detail}` : ''}`]);
  } else lines.push(['engine', `not usable: ${problem}`]);
  if (model) {
    lines.push(
      ['model', `${model.family}, ${model.layers} layers of width ${model.width}, ${model.heads} heads, context ${model.context}`],
      [
        '',
        `${(model.parameters / 1e6).toFixed(1)} M parameters, ${(model.bytes / 2 ** 20).toFixed(0)} MiB in memory, stored as ${model.storedDtype}, held as ${model.heldDtype}, vocabulary ${model.vocab}`,
      ],
      ['', model.tokenizer ? `tokenizer: ${model.tokenizer.kind}, ${model.tokenizer.vocabulary} tokens` : 'no tokenizer'],
      ['', `on ${model.backend} (${model.device}), ${model.threads} threads, hash ${model.hash?.slice(0, 12)}`],
    );
  }
  const caches = study === undefined ? null : await cacheEntries(study);
  if (caches && study !== undefined) {
    for (const c of caches) lines.push([`cache ${c.name}`, `${formatBytes(c.bytes)} in ${c.files} files: ${c.help}`]);
    lines.push(['', caches.length === 0 ? 'nothing is cached there' : `to clear: ${commandLine(['cache', study, '--clear'])}`]);
  } else lines.push(['caches', 'lie in study folders: mendset info --study DIR tells their size, mendset cache DIR --clear deletes them']);
  const { cache: hubFolder } = hubEnvironment();
  const hub = { directory: hubFolder, ...(await folderSize(hubFolder)) };
  lines.push([
    'hub cache',
    hub.files === 0
      ? `empty (${hubFolder})`
      : `${formatBytes(hub.bytes)} in ${hub.files} files of models and data, shared with other tools; to clear, delete folders in ${hubFolder}`,
  ]);
  result(
    { mendset: packageVersion(), machine, engine, engineProblem: problem, model, caches, hub },
    lines.map(([k, v]) => `${k.padEnd(14)} ${v}`).join('\n'),
  );
  return engine === null ? 1 : 0;
}
