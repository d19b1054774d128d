import { MendsetError } from '../../core/errors.ts';
import { readBytes, writeFileAtomic } from '../../core/files.ts';
import { compareEvaluations } from '../../evaluate/compare-evaluations.ts';
import type { EvaluationResult } from '../../evaluate/evaluate.ts';
import { textTable } from '../../report/text-table.ts';
import type { CommandContext } from '../command-context.ts';

export async function run({ options, shared, progress, result }: CommandContext): Promise<number> {
  const before = options.required('before', 'to name the evaluation to compare with');
  const after = options.required('after', 'to name the evaluation that is compared');
  const out = options.text('out');
  await options.input(before, 'file', 'before');
  await options.input(after, 'file', 'after');
  await options.output(out, 'file', 'out');
  const readable = options.problems.length === 0;
  const [a, b] = [
    readable ? await options.attempt(() => readEvaluation(before)) : undefined,
    readable ? await options.attempt(() => readEvaluation(after)) : undefined,
  ];
  const compared = a && b ? await options.attempt(async () => compareEvaluations(a, b, { seed: shared.seed })) : undefined;
  options.finish();
  if (!compared) return 2;
  if (out !== undefined) await writeFileAtomic(out, `${JSON.stringify(compared, null, 2)}\n`);
  for (const { name, reason } of compared.refused) progress.log(`not compared: ${name}: ${reason}`);
  const number = (value: number | null) => (value === null ? '–' : value.toPrecision(4));
  const rows = compared.figures.map((f) => [
    f.name,
    number(f.a),
    number(f.b),
    number(f.difference),
    f.interval ? `${number(f.interval.low)} to ${number(f.interval.high)}` : '–',
    number(f.pValue),
    f.pairs === 0 ? '–' : String(f.pairs),
  ]);
  result(
    compared,
    `${textTable(['figure', 'before', 'after', 'difference', '95 % interval', 'p', 'pairs'], rows, { left: 1 })}\nintervals and p over prompts, paired: bootstrap, sign flips${out === undefined ? '' : `\nfile  ${out}`}`,
  );
  return 0;
}

async function readEvaluation(path: string): Promise<EvaluationResult> {
  let document: Partial<EvaluationResult>;
  try {
    document = JSON.parse((await readBytes(path)).toString()) as Partial<EvaluationResult>;
  } catch (error) {
    if (error instanceof MendsetError) throw error;
    throw new MendsetError('corrupt', `Expected ${path} to be what mendset evaluate --out wrote but it is not JSON.`, { cause: error });
  }
  if (!Array.isArray(document.figures))
    throw new MendsetError('invalid-data', `Expected ${path} to be what mendset evaluate --out wrote but it has no figures.`);
  return document as EvaluationResult;
}
