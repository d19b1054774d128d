import { PUBLISHED_SOURCES } from '../repair/published.ts';
import type { CommandContext } from './command-context.ts';
import { SELECT_METHODS } from './select-methods.ts';

export interface OptionSpec {
  /** As commander reads it, e.g. `--budget <share|count>` */
  readonly flags: string;
  readonly help: string;
  /** The words it may have, for completion; absent where there are others */
  readonly values?: readonly string[] | undefined;
}

export interface CommandSpec {
  readonly name: string;
  readonly summary: string;
  /** Positional argument, e.g. `study.yaml` */
  readonly argument?: { readonly name: string; readonly help: string; readonly values?: readonly string[] };
  /** Words after the argument, beyond which nothing is understood; default none */
  readonly furtherWords?: number;
  /** Command lines that do something, with what they do */
  readonly examples: readonly (readonly [line: string, does: string])[];
  readonly options: readonly OptionSpec[];
  /** Loaded when the command runs, so that `--help` and mistakes cost nothing */
  load(): Promise<{ run(context: CommandContext): Promise<number> }>;
}

const option = (flags: string, help: string, values?: readonly string[]): OptionSpec => ({ flags, help, ...(values ? { values } : {}) });
const PRESETS = ['principled', 'paper'];
const SPACES = ['pca', 'raw'];

/** Understood by every command. */
export const SHARED_OPTIONS: readonly OptionSpec[] = [
  option('--json', 'print one JSON document on stdout and nothing else there'),
  option('--quiet', 'no progress and no messages, only results and errors'),
  option('--log-format <name>', 'text (default) or json: progress, messages and errors on stderr as JSON lines', ['text', 'json']),
  option('--seed <n>', 'seed of everything random in this command'),
  option('--threads <n>', 'worker threads (default: MENDSET_THREADS or all cores); changes no result'),
  option('--backend <name>', 'auto, cpu, cuda or plain; a named backend never falls back', ['auto', 'cpu', 'cuda', 'plain']),
  option('--config <file.yaml>', 'read options from a YAML file; flags override it'),
];

/** For commands that read rows. */
const columnsOption = option(
  '--columns <field=column,...>',
  'which column of the data is meant by a field, e.g. prompt=question,chosen=answer',
);

/** For commands that rate texts. */
const scorerOptions = [
  option(
    '--scorer <name>',
    'who rates toxicity: builtin (default), a scores file, a BERT or RoBERTa classifier (a folder or hf:owner/name), or onnx:FOLDER for @huggingface/transformers',
  ),
  option('--scorer-label <name>', 'the label of the classifier that means toxicity, where its labels do not say'),
];

const weightsOption = option(
  '--weights <name>',
  'float32 (default), or stored: 16-bit weights stay as the files hold them; the same results in about half the memory',
  ['float32', 'stored'],
);

const selectOptions = [
  option('--pool <files...>', 'repair records: JSON lines, CSV, TSV or Parquet; files, folders or hf:datasets/owner/name/file'),
  columnsOption,
  option('--method <name>', SELECT_METHODS.join(', '), SELECT_METHODS),
  option('--budget <share|count>', 'how much to choose: 0.5 is a share, 200 a number of records'),
  option('--model <dir>', 'model for embeddings and gradient norms: a folder or hf:owner/name[@revision]'),
  weightsOption,
  option(
    '--encoder <dir>',
    'another model for the embeddings: a sentence encoder (BERT, RoBERTa, MiniLM) or a language model; a folder or hf:owner/name',
  ),
  ...scorerOptions,
  option(
    '--embeddings <file>',
    'your own embeddings [records, features]: F.npy, F.safetensors[#tensor] or F.parquet[#column]; then no model and no pool is needed',
  ),
  option('--scores <file.npy>', 'your own scores [records]; then no model and no pool is needed'),
  option('--groups <file.npy>', 'stratified, moderate: your own group number of each record'),
  option('--memory-limit <size>', 'most memory that embeddings and selection may take, such as 4GiB; default 80 % of what is free'),
  option('--first <index>', 'k-center: first record, random or farthest-from-mean'),
  option('--clusters <k>', 'saps, stratified, moderate: number of clusters (default 10)'),
  option('--boundary-ratio <a>', 'saps: share of each cluster taken from its boundary, the rest from its centre (default 1)'),
  option('--allocation <name>', 'saps: waterfill, proportional or equal-no-redistribute; stratified: proportional or waterfill', [
    'waterfill',
    'proportional',
    'equal-no-redistribute',
  ]),
  option('--mode <name>', 'saps: global, density, random or stratified instead of the farthest', [
    'global',
    'density',
    'random',
    'stratified',
  ]),
  option('--score <name>', 'grand, ccs, d2: gradient-norm, el2n, loss, margin or toxicity', [
    'gradient-norm',
    'el2n',
    'loss',
    'margin',
    'toxicity',
  ]),
  option('--by <name>', 'stratified, moderate: cluster (default) or group', ['cluster', 'group']),
  option('--metric <name>', 'facility-location: cosine (default) or euclidean', ['cosine', 'euclidean']),
  option('--space <name>', 'k-center (default pca), facility-location, herding, d2 (default raw): pca or raw', SPACES),
  option('--components <n>', 'of the PCA space; default 50'),
  option('--rule <name>', 'herding: inner-product (default) or nearest', ['inner-product', 'nearest']),
  option('--neighbours <k>', 'd2: neighbours of each record in the graph (default 10)'),
  option('--threshold <x>', 'deduplicate: cosine from which records are near-duplicates (default 0.95)'),
  option('--fill', 'deduplicate: fill the budget with duplicates'),
  option('--norm <name>', 'grand: global or sum-of-tensors', ['global', 'sum-of-tensors']),
  option('--preset <name>', 'principled (default) or paper', PRESETS),
];

const repairOptions = [
  option('--model <dir>', 'model to repair: a folder or hf:owner/name[@revision]'),
  weightsOption,
  option('--data <files...>', 'repair records, in selection order'),
  columnsOption,
  option('--method <name>', 'dapt, sft, dpo, npo or irepair', ['dapt', 'sft', 'dpo', 'npo', 'irepair']),
  option('--kl <weight>', 'add a KL term of this weight against the original model'),
  option('--normal <file>', 'ordinary texts for the KL term'),
  option('--generate-normal <n>', 'sample so many ordinary texts from the model instead'),
  option('--memory-budget <size>', 'most memory that training may hold, such as 4GiB; steps are cut into micro-batches that fit'),
  option('--micro-batch-tokens <n>', 'most tokens of one pass over a part of a step'),
  option('--recompute', 'compute activations again in the backward pass instead of keeping them'),
  option('--references <dir>', 'keep what the original model says about the texts here, for later repairs of it'),
  option('--validation <n|file>', 'records held back from the end of the data, or a file of them (default 64, at most a fifth)'),
  option('--preset <name>', 'principled (default) or paper', PRESETS),
  option('--published <name>', 'hyperparameters of dpo-toxic, irepair or saps; other options override them', PUBLISHED_SOURCES),
  option('--learning-rate <x>', 'default: the published value of the method, ten times that with --lora'),
  option('--batch-size <n>', 'default 4'),
  option('--epochs <n>', 'default 1'),
  option('--steps <n>', 'exactly so many steps, however many epochs that takes'),
  option('--max-steps <n>', 'stop after so many steps'),
  option('--warmup-steps <n>', 'default 150'),
  option('--clip-norm <x>', 'largest gradient norm of a step, 0 = off; default 0.5'),
  option('--eval-every <n>', 'examples between validations; default 40'),
  option('--patience <n>', 'validations without improvement before stopping; default 30'),
  option('--optimizer <name>', 'rmsprop (default) or adamw', ['rmsprop', 'adamw']),
  option('--order <name>', 'shuffled (default), selection or pool', ['shuffled', 'selection', 'pool']),
  option('--beta <x>', 'dpo, npo: default 0.1'),
  option('--slice <name>', 'irepair: most-sensitive (default), least-sensitive, fixed or a block number', [
    'most-sensitive',
    'least-sensitive',
    'fixed',
  ]),
  option('--blocks <n>', 'irepair: blocks repaired at once; default 1'),
  option('--lora <rank>', 'train low-rank adapters and merge them at the end'),
  option('--lora-alpha <x>', 'default twice the rank'),
  option('--lora-targets <names...>', "linear maps by PEFT's names, such as c_attn; default all of the blocks'"),
  option('--adapter <dir>', "with --lora: also write the adapter in PEFT's layout"),
  option('--log <file.jsonl>', 'one JSON line for each step and validation while it runs'),
  option('--tensorboard <dir>', 'the same as TensorBoard event files'),
  option('--checkpoint-every <n>', 'steps between states that --resume continues from; default 250'),
];

export const COMMANDS: readonly CommandSpec[] = [
  {
    name: 'info',
    summary: 'Show the engine, its backends and, with --model, what a model folder holds',
    options: [
      option('--model <dir>', 'a model folder, or hf:owner/name[@revision] of the Hugging Face Hub, to describe'),
      weightsOption,
      option('--study <dir>', 'a study folder, whose caches to list'),
    ],
    examples: [
      ['mendset info', 'the engine, its backends and this machine'],
      ['mendset info --model gpt2', 'what a model folder holds'],
      ['mendset info --study results', 'what a study folder keeps to save work'],
    ],
    load: () => import('./commands/info.ts'),
  },
  {
    name: 'select',
    summary: 'Choose the records worth repairing a model on',
    options: [...selectOptions, option('--out <file.jsonl>', 'chosen records in selection order')],
    examples: [
      ['mendset select --pool pool.jsonl --method saps --budget 0.5 --model gpt2 --out chosen.jsonl', 'half of a pool'],
      ['mendset select --embeddings e.npy --method k-center --budget 1000 --json', 'a thousand rows of your own embeddings'],
    ],
    load: () => import('./commands/select.ts'),
  },
  {
    name: 'score',
    summary: 'Compute loss, gradient norm, EL2N, embedding or toxicity of each record',
    options: [
      option('--model <dir>', 'model to score with, a folder or hf:owner/name[@revision] (not needed for toxicity alone)'),
      weightsOption,
      option('--data <files...>', 'records; they may be pre-tokenised (prompt_ids, completion_ids)'),
      columnsOption,
      option('--what <names>', 'comma-separated: loss, gradient-norm, el2n, margin, embedding, toxicity (default loss)', [
        'loss',
        'gradient-norm',
        'el2n',
        'margin',
        'embedding',
        'toxicity',
      ]),
      option('--encoder <dir>', 'sentence encoder for --what embedding instead of the model: a folder or hf:owner/name'),
      option('--text <name>', 'chosen (default) or rejected: the completion that is scored', ['chosen', 'rejected']),
      option('--tokens <name>', 'completion (default) or all: the tokens that count', ['completion', 'all']),
      option('--norm <name>', 'global (default) or sum-of-tensors: what a gradient norm is', ['global', 'sum-of-tensors']),
      ...scorerOptions,
      option('--out <file>', '.jsonl: one object for each record; .npy: one array, for a single name'),
    ],
    examples: [
      ['mendset score --model gpt2 --data pool.jsonl --what loss,gradient-norm --out scores.jsonl', 'two numbers for each record'],
    ],
    load: () => import('./commands/score.ts'),
  },
  {
    name: 'repair',
    summary: 'Repair a model on records and write a checkpoint that Hugging Face transformers loads',
    options: [
      ...repairOptions,
      option('--out <dir>', 'folder of the repaired model'),
      option('--resume', 'continue an interrupted repair'),
      option('--dry-run', 'print steps, FLOPs and memory and stop; no weights are read'),
    ],
    examples: [
      ['mendset repair --model gpt2 --data chosen.jsonl --method dapt --dry-run', 'what it will do and hold'],
      [
        'mendset repair --model gpt2 --data chosen.jsonl --method irepair --kl 1 --normal normal.jsonl --out repaired',
        'repair with a KL term',
      ],
      [
        'mendset repair --model gpt2 --data chosen.jsonl --method irepair --kl 1 --normal normal.jsonl --out repaired --resume',
        'go on after an interrupt',
      ],
    ],
    load: () => import('./commands/repair.ts'),
  },
  {
    name: 'evaluate',
    summary: 'Measure toxicity, perplexity and last-word accuracy of a model',
    options: [
      option('--model <dir>', 'model to evaluate: a folder or hf:owner/name[@revision]'),
      weightsOption,
      option('--prompts <file>', 'prompts for the toxicity of greedy continuations'),
      columnsOption,
      option('--rtp <file>', 'prompts for the sampling protocol of RealToxicityPrompts'),
      option('--wikitext <file>', 'running text for perplexity per token'),
      option('--lambada <file>', 'texts whose last word is to be predicted'),
      option('--token-ids <file.npy>', 'one long text as token ids'),
      option('--window <n|model>', 'tokens of a perplexity window; default 1024 or the context'),
      option('--stride <n>', 'default: the window'),
      option('--weighting <name>', 'of windows: principled (default), paper or hugging-face', ['principled', 'paper', 'hugging-face']),
      option('--start <name>', 'none (default), or text: an end-of-text token before a running text', ['none', 'text']),
      option('--samples <n>', 'continuations of each --rtp prompt; default 25'),
      option('--seeds <n>', 'generation seeds of --rtp, each with all samples; default 1'),
      option('--max-new-tokens <n>', 'of a toxicity continuation; default 20'),
      option('--limit <n>', 'only the first n prompts and texts'),
      ...scorerOptions,
      option('--preset <name>', 'principled (default) or paper', PRESETS),
      option('--out <file.json>', 'every figure with its convention'),
    ],
    examples: [
      [
        'mendset evaluate --model repaired --prompts prompts.jsonl --wikitext wiki.test.raw --lambada lambada.jsonl --out figures.json',
        'every figure with its convention',
      ],
    ],
    load: () => import('./commands/evaluate.ts'),
  },
  {
    name: 'compare',
    summary: 'Compare two evaluations figure by figure, paired over prompts',
    options: [
      option('--before <file.json>', 'what evaluate --out wrote for the one model'),
      option('--after <file.json>', 'and for the other'),
      option('--out <file.json>', 'the comparison'),
    ],
    examples: [['mendset compare --before before.json --after after.json', 'what a repair changed, with intervals']],
    load: () => import('./commands/compare.ts'),
  },
  {
    name: 'generate',
    summary: 'Continue prompts',
    options: [
      option('--model <dir>', 'model to generate with: a folder or hf:owner/name[@revision]'),
      weightsOption,
      option('--prompts <file>', 'JSON lines, CSV, TSV or Parquet with prompt or prompt_ids, or one prompt a line'),
      columnsOption,
      option('--max-new-tokens <n>', 'default 20'),
      option('--greedy', 'always the likeliest token'),
      option('--top-p <p>', 'nucleus; default 1'),
      option('--top-k <k>', 'default 0 = off'),
      option('--temperature <t>', 'default 1'),
      option('--samples <n>', 'continuations of each prompt; default 1'),
      option('--out <file.jsonl>', 'default: stdout'),
    ],
    examples: [['mendset generate --model repaired --prompts prompts.jsonl --greedy', 'continuations as JSON lines']],
    load: () => import('./commands/generate.ts'),
  },
  {
    name: 'study',
    summary: 'Run a grid of models, repairs, selectors, proportions and seeds',
    argument: { name: 'file.yaml', help: 'the study, or export and then the study' },
    furtherWords: 1,
    options: [
      option('--out <dir>', 'folder for results.jsonl, samples and caches; running again continues there'),
      option('--dry-run', 'print the plan with its cost and stop'),
      option('--resume', 'continue only: refuse to begin a new study'),
      option('--cells <i/n>', 'compute the i-th of n shares, for several processes or machines that share the folder'),
      option(
        '--jobs <n>',
        'compute so many cells at once, each in a process of its own; auto: as many as memory and cores allow (default 1)',
      ),
      option('--memory-limit <size>', 'most memory that the processes together may take, such as 16GiB; default 80 % of what is free'),
      option('--tune', 'recommend selector, proportion and boundary ratio by successive halving instead of computing the whole grid'),
      option('--tune-budget <share>', 'most work of --tune, as a share of the whole grid; default 0.5'),
      option('--schema', 'print the JSON Schema of study files and stop'),
      option('--slurm', 'export: an array job for Slurm'),
      option('--k8s', 'export: an indexed job for Kubernetes'),
      option('--shares <n>', 'export: tasks of the job; default one for each model, repair and seed, at most 1000'),
      option('--image <name>', 'export --k8s: container image with mendset'),
      option('--claim <name>', 'export --k8s: volume claim that holds study and results, mounted at /study'),
      option('--plan-only', 'with --dry-run: no calibration, so no time'),
    ],
    examples: [
      ['mendset study rq1.yaml --dry-run', 'the plan: cells, memory, disk and time'],
      ['mendset study rq1.yaml --out results --jobs auto', 'run it, or go on with it'],
      ['mendset study tune.yaml --tune --out results', 'what to use, without computing the whole grid'],
      ['mendset study export rq1.yaml --slurm --out /shared/results > job.sh', 'an array job for a cluster'],
      ['mendset study --schema > study.schema.json', 'the rules of study files, for an editor'],
    ],
    load: () => import('./commands/study.ts'),
  },
  {
    name: 'report',
    summary: 'Write the HTML, text and CSV report of a study folder',
    argument: { name: 'dir', help: 'the study folder' },
    options: [option('--out <dir>', 'where to write; default the study folder')],
    examples: [['mendset report results', 'report.html, report.txt and tables']],
    load: () => import('./commands/report.ts'),
  },
  {
    name: 'profile',
    summary: 'Run select or repair and show where time and memory go',
    argument: { name: 'select|repair', help: 'what to profile; its options follow', values: ['select', 'repair'] },
    options: mergeOptions([
      ...selectOptions,
      ...repairOptions,
      option('--out <path>', 'output of the profiled command; default: discarded'),
      option('--profile <file.json>', 'everything measured; default profile.json'),
      option('--trace <file.json>', 'Chrome trace, opens in Perfetto and speedscope; default mendset-trace.json'),
    ]),
    examples: [['mendset profile select --pool pool.jsonl --method grand --budget 0.5 --model gpt2', 'where the time of a selection goes']],
    load: () => import('./commands/profile.ts'),
  },
  {
    name: 'cache',
    summary: 'Show what a study folder keeps to save work, and clear it',
    argument: { name: 'dir', help: 'the study folder' },
    options: [option('--clear', 'delete it; results, samples and selections stay')],
    examples: [
      ['mendset cache results', 'sizes'],
      ['mendset cache results --clear', 'delete what can be computed again'],
    ],
    load: () => import('./commands/cache.ts'),
  },
  {
    name: 'completion',
    summary: 'Print a completion script for bash, zsh or fish',
    argument: { name: 'shell', help: 'bash, zsh or fish', values: ['bash', 'zsh', 'fish'] },
    options: [],
    examples: [
      ['mendset completion bash > ~/.local/share/bash-completion/completions/mendset', 'for bash'],
      ['mendset completion fish > ~/.config/fish/completions/mendset.fish', 'for fish'],
    ],
    load: () => import('./commands/completion.ts'),
  },
];

/** One entry for each flag: `profile` takes the options of two commands. */
function mergeOptions(options: readonly OptionSpec[]): OptionSpec[] {
  const byFlag = new Map<string, OptionSpec>();
  for (const o of options) {
    const flag = o.flags.split(' ')[0] as string;
    const before = byFlag.get(flag);
    byFlag.set(
      flag,
      before
        ? option(before.flags, `${before.help}; ${o.help}`, before.values && o.values && [...new Set([...before.values, ...o.values])])
        : o,
    );
  }
  return [...byFlag.values()];
}
