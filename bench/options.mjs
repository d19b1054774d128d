// The options of every benchmark in one table: what --help prints, and what is checked before anything is measured.
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { SHAPES } from './checkpoint-shapes.mjs';
import { LM_ROWS } from './lm-rows.mjs';
import { root } from './machine.mjs';
import { ROWS as PEER_ROWS } from './peer-rows.mjs';

const results = (name) => join(root, 'bench', 'results', name);
const threads = { kind: 'count', value: 'N', default: '2', words: 'worker threads of the engine' };
const out = (name) => ({ kind: 'text', value: 'FILE.json', default: results(name), words: 'where the results go' });
const python = { kind: 'text', value: 'PYTHON', default: 'python3', words: 'of an environment with bench/peers/requirements.txt' };
const inputs = { kind: 'text', value: 'FOLDER', default: join(root, 'build', 'bench-inputs'), words: 'generated inputs' };
const rounds = (value) => ({ kind: 'count', value: 'N', default: value, words: 'rounds, interleaved' });
const native = { kind: 'text', value: 'FILE', words: 'the benchmark of the native operations, if it is not in build/' };

/** What `bench -- selection` measures: the names that --only takes. */
export const SELECTION_WORKS = [
  'pca',
  'k-means-10',
  'k-means-256',
  'mini-batch',
  'k-center-greedy',
  'neighbours',
  'facility-location',
  'random',
  'uniform',
  'stratified',
  'k-center',
  'grand',
  'ccs',
  'saps',
  'herding',
  'moderate',
  'd2',
  'deduplicate',
];

/** kind: text, count (a whole number of at least 1), name (of a list), names (several, with commas), flag */
export const BENCHMARKS = {
  selection: {
    file: 'selection.mjs',
    words: 'the selectors and the algorithms under them through the public package, then the native operations',
    options: {
      rows: { kind: 'count', value: 'N', default: '24576', words: 'rows of the matrix' },
      columns: { kind: 'count', value: 'N', default: '384', words: 'columns of the matrix' },
      threads,
      time: { kind: 'count', value: 'MS', default: '300', words: 'least time for each, at least two runs' },
      only: { kind: 'names', value: 'NAME,...', of: SELECTION_WORKS, words: 'some of them' },
      'no-native': { kind: 'flag', words: 'without the native operations' },
      native,
      out: out('selection.json'),
    },
  },
  lm: {
    file: 'lm.mjs',
    words: 'the language-model engine beside PyTorch and transformers, then its operations beside the limits of the machine',
    options: {
      python,
      inputs,
      rounds: rounds('5'),
      rows: { kind: 'names', value: 'NAME,...', of: LM_ROWS.map((row) => row.name), words: 'some rows; the others are kept as they are' },
      threads,
      steps: { kind: 'count', value: 'N', default: '3', words: 'steps of which the median counts' },
      'peer-isa': { kind: 'text', value: 'ISA', words: 'limits the peer, e.g. avx2' },
      'no-roofline': { kind: 'flag', words: 'without the operations' },
      native,
      out: out('lm.json'),
    },
  },
  'matrix-products': {
    file: 'matrix-products.mjs',
    words: 'the products of linear maps beside PyTorch, OpenBLAS and BLIS on the same shapes, interleaved',
    options: {
      python,
      rounds: rounds('3'),
      threads,
      filter: { kind: 'text', value: 'TEXT', default: 'linear_', words: 'only operations whose name holds it' },
      blis: { kind: 'text', value: 'FILE', words: 'the library of BLIS, where the system does not find it' },
      isa: { kind: 'names', value: 'ISA', of: ['avx2'], words: 'limits all of them' },
      native,
      out: out('matrix-products.json'),
    },
  },
  peers: {
    file: 'peers.mjs',
    words: 'ours, scikit-learn, faiss, numpy and PyTorch on the same files, interleaved',
    options: {
      python,
      inputs,
      rounds: rounds('5'),
      rows: { kind: 'names', value: 'NAME,...', of: PEER_ROWS.map((row) => row.name), words: 'some rows; the others are kept as they are' },
      threads,
      'peer-isa': { kind: 'text', value: 'ISA', words: 'limits the peers, e.g. avx2' },
      small: { kind: 'flag', words: 'a tenth of the rows, to try the scripts' },
      data: { kind: 'text', value: 'FOLDER', words: 'texts of yours beside those of the demo' },
      out: out('selection-peers.json'),
    },
  },
  cost: {
    file: 'cost.mjs',
    words: 'time against n, d, k and threads beside the limit of the machine, as CSV, SVG and JSON',
    options: {
      full: { kind: 'flag', words: 'from 10,000 to 1,000,000 rows; takes some 4 GiB and several minutes' },
      axes: { kind: 'names', value: 'AXIS,...', of: ['n', 'd', 'k', 'threads'], words: 'some axes; points of others are kept' },
      works: {
        kind: 'names',
        value: 'WORK,...',
        of: ['k-means', 'k-center', 'pca', 'neighbours'],
        words: 'some works; points of others are kept',
      },
      threads,
      out: { kind: 'text', value: 'FOLDER', default: join(root, 'bench', 'results'), words: 'where the results go' },
    },
  },
  tokenizer: {
    file: 'tokenizer.mjs',
    words: 'text to ids on one thread beside @huggingface/tokenizers',
    options: {
      text: {
        kind: 'text',
        value: 'FILE',
        default: join(root, 'assets', 'demo', 'normal.jsonl'),
        words: 'lines of text, or .jsonl with `text`',
      },
      tokenizer: { kind: 'text', value: 'FOLDER', words: 'one of yours instead of GPT-2 and NeoX' },
      rounds: rounds('5'),
      out: { kind: 'text', value: 'FILE.json', words: 'where the results go; default nowhere' },
    },
  },
  checkpoints: {
    file: 'checkpoints.mjs',
    words: 'the published shapes of models: loaded, scored, repaired and saved',
    options: {
      shapes: {
        kind: 'names',
        value: 'NAME,...',
        of: Object.keys(SHAPES),
        default: 'gpt2-xl,gpt-neo-1.3b,pythia-2.8b',
        words: 'whose checkpoints',
      },
      dtype: { kind: 'name', value: 'TYPE', of: ['F32', 'F16', 'BF16'], default: 'F32', words: 'how the files store the weights' },
      weights: { kind: 'name', value: 'NAME', of: ['float32', 'stored'], default: 'float32', words: 'how the weights are held in memory' },
      folder: {
        kind: 'text',
        value: 'FOLDER',
        words: 'where the checkpoints are written and left for another run; default a temporary one',
      },
      rounds: rounds('3'),
      out: { kind: 'text', value: 'FILE.json', words: 'where the results go; default nowhere' },
    },
  },
  readme: {
    file: 'readme-table.mjs',
    words: 'nothing is measured: the tables of README.md are written from the results',
    options: { check: { kind: 'flag', words: 'changes nothing; fails where a table is not that of the results' } },
  },
};

/** The options of a benchmark by name; counts are numbers, names are lists. Ends the process for --help (0) and for a mistake (2). */
export function readOptions(part, args) {
  const { options, words } = BENCHMARKS[part];
  if (args.includes('--help') || args.includes('-h')) {
    console.log([`npm run bench -- ${part} [options]`, `  ${words}`, '', ...Object.entries(options).map(optionLine)].join('\n'));
    process.exit(0);
  }
  const types = Object.fromEntries(
    Object.entries(options).map(([name, each]) => [
      name,
      { type: each.kind === 'flag' ? 'boolean' : 'string', ...(each.default === undefined ? {} : { default: each.default }) },
    ]),
  );
  const { tokens } = parseArgs({ args, options: types, strict: false, tokens: true });
  for (const token of tokens) {
    const known = token.kind === 'option' ? options[token.name] : undefined;
    if (token.kind === 'positional' || (token.kind === 'option' && !known))
      refuse(
        `Expected ${list(Object.keys(options).map((name) => `--${name}`))} for the benchmark "${part}" but received "${token.kind === 'option' ? token.rawName : token.value}": see --help.`,
      );
    if (known && known.kind !== 'flag' && (token.value === undefined || token.value.startsWith('--')))
      refuse(`Expected ${known.value} after ${token.rawName} but received ${token.value === undefined ? 'nothing' : `"${token.value}"`}.`);
    if (known?.kind === 'flag' && token.value !== undefined)
      refuse(`Expected no value for ${token.rawName} but received "${token.value}".`);
  }
  const { values } = parseArgs({ args, options: types });
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, converted(name, value, options[name])]));
}

function converted(name, value, option) {
  if (option.kind === 'count') {
    if (!/^[1-9]\d*$/.test(value)) refuse(`Expected a whole number of at least 1 for --${name} but received "${value}".`);
    return Number(value);
  }
  if (option.kind !== 'names' && option.kind !== 'name') return value;
  const names = option.kind === 'name' ? [value] : value.split(',');
  for (const each of names) if (!option.of.includes(each)) refuse(`Expected ${list(option.of)} for --${name} but received "${each}".`);
  return option.kind === 'name' ? value : names;
}

function optionLine([name, { kind, value, default: standard, of, words }]) {
  const head = `  --${name}${kind === 'flag' ? '' : ` ${value}`}`.padEnd(24);
  const shown = standard?.startsWith(root) ? relative(root, standard) : standard;
  return `${head} ${words}${of ? `: ${of.join(', ')}` : ''}${shown === undefined ? '' : ` (default ${shown})`}`;
}

function list(names) {
  return names.length < 2 ? names.join() : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}

export function refuse(sentence) {
  console.error(sentence);
  process.exit(2);
}
