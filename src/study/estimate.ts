import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { paperFlopsPerToken } from '../repair/flops.ts';
import type { SelectorName } from '../select/selector.ts';
import { loadTokenizer } from '../tokenizer/load.ts';
import { makeRepair } from './make-repair.ts';
import { type PlannedCell, type StudyPlan, windowKey } from './plan.ts';
import type { StudyInputs } from './study-inputs.ts';

export interface StudyEstimate {
  readonly cells: { readonly unrepaired: number; readonly full: number; readonly subset: number; readonly selections: number };
  /** By the papers' formulas, with the mean length of a sample of records; evaluation and features at a forward pass for each token */
  readonly flops: { readonly repair: number; readonly features: number; readonly evaluation: number };
  readonly models: readonly { readonly name: string; readonly parameters: number; readonly tokensPerRecord: number }[];
}

interface Shape {
  readonly layers: number;
  readonly width: number;
  readonly vocab: number;
  readonly context: number;
}

/** Selectors that embed the pool; all of a model share one pass. */
const EMBEDDING_METHODS: ReadonlySet<SelectorName> = new Set([
  'k-center',
  'saps',
  'stratified',
  'facility-location',
  'herding',
  'moderate',
  'd2',
  'deduplicate',
] as const);

/** Predicts the work of a plan without loading a model: shapes come from config.json, lengths from the tokenizer. */
export async function estimateStudy(plan: StudyPlan, inputs: StudyInputs, cells: readonly PlannedCell[]): Promise<StudyEstimate> {
  const count = (kind: PlannedCell['kind']) => cells.filter((c) => c.kind === kind).length;
  const models = [];
  let repair = 0;
  let features = 0;
  let evaluation = 0;
  for (const model of inputs.config.models) {
    const shape = await modelShape(model.path);
    const tokenizer = await loadTokenizer(model.path, { optional: true });
    const length = (text: string) => (tokenizer ? tokenizer.encode(text).length : Math.ceil(text.length / 4));
    const sample = inputs.pairs.records.slice(0, 64);
    const tokensPerRecord =
      sample.reduce((sum, r) => sum + (r.promptIds?.length ?? length(r.prompt)) + (r.chosenIds?.length ?? length(r.chosen)), 0) /
      Math.max(1, sample.length);
    // attention over the real length, not the whole context
    const real = { ...shape, context: Math.min(shape.context, Math.ceil(tokensPerRecord)) };
    const parameters = 12 * shape.layers * shape.width ** 2 + shape.vocab * shape.width;
    models.push({ name: model.name, parameters, tokensPerRecord });
    const running = (inputs.runningText ?? [])
      .concat(inputs.lastWord ?? [], inputs.lastWord ?? [])
      .reduce((sum, text) => sum + text.length / 4, 0);
    const prompts = inputs.prompts?.length ?? 0;
    const toxicity = inputs.config.evaluation.toxicity;
    const perEvaluation = 2 * parameters * (running + prompts * ((toxicity?.promptTokens ?? 0) + (toxicity?.maxNewTokens ?? 0)));
    for (const cell of cells.filter((c) => c.model === model.name)) {
      evaluation += perEvaluation;
      if (!cell.repairConfig || cell.seed === null) continue;
      const records = Math.floor(cell.proportion * (inputs.pools.get(windowKey(cell.seed, cell.window))?.records.length ?? 0));
      repair += paperFlopsPerToken(makeRepair(cell.repairConfig), real) * tokensPerRecord * records * cell.repairConfig.training.epochs;
    }
    const kinds = new Set(plan.config.selectors.map((s) => s.method));
    const embedding = plan.config.selectors.some((s) => EMBEDDING_METHODS.has(s.method) && !('by' in s && s.by === 'group'));
    const passes = (embedding ? 1 : 0) + (kinds.has('grand') ? 3 : 0) + (kinds.has('d2') ? 1 : 0);
    const windows = [...inputs.pools.values()].reduce((sum, p) => sum + p.records.length, 0);
    features += passes * 2 * parameters * tokensPerRecord * windows;
  }
  return {
    cells: {
      unrepaired: count('unrepaired'),
      full: count('full'),
      subset: count('subset'),
      selections: new Set(cells.flatMap((c) => c.selectionKey ?? [])).size,
    },
    flops: { repair, features, evaluation },
    models,
  };
}

async function modelShape(directory: string): Promise<Shape> {
  const config = JSON.parse(await readFile(join(directory, 'config.json'), 'utf8')) as Record<string, unknown>;
  const number = (...keys: string[]) => Number(keys.map((k) => config[k]).find((v) => typeof v === 'number') ?? 0);
  return {
    layers: number('n_layer', 'num_layers', 'num_hidden_layers'),
    width: number('n_embd', 'hidden_size'),
    vocab: number('vocab_size'),
    context: number('n_positions', 'n_ctx', 'max_position_embeddings') || 1024,
  };
}
