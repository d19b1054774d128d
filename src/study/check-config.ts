import { MendsetError } from '../core/errors.ts';
import { type CellOverride, type CellPattern, patternProblems } from './cell-rules.ts';
import type { SelectorConfig, StudyConfig } from './config.ts';
import { configError, issueSentences, pathName } from './config-issues.ts';
import { makeSelector } from './make-selector.ts';
import { resolveRepair } from './repair-schema.ts';
import { selectorSchema } from './selector-schema.ts';
import { studySchema } from './study-schema.ts';
import { budgetConflict, type RawTraining } from './training-options.ts';
import type { YamlFile } from './yaml-file.ts';

/** The configuration that a study file describes. Throws `invalid-config`; `problems` lists every mistake as `file:line:column: ...`. */
export function checkStudyConfig(file: YamlFile): StudyConfig {
  const result = studySchema.safeParse(file.value ?? {});
  if (!result.success) throw configError(issueSentences(result.error.issues, file));
  const problems: string[] = [];
  const raw = result.data;
  const repairs = raw.repairs.map((r) => resolveRepair(r, raw.training));
  const selectors = raw.selectors.map((s) => ({ ...s, name: s.name ?? s.method }));
  const models = raw.models.map((m) => ({
    path: m.path,
    name: m.name ?? lastSegment(m.path),
    ...(m.weights === undefined ? {} : { weights: m.weights }),
  }));
  for (const [key, list] of [
    ['models', models],
    ['selectors', selectors],
    ['repairs', repairs],
  ] as const) {
    list.forEach((entry, i) => {
      const first = list.findIndex((other) => other.name === entry.name);
      if (first < i)
        problems.push(
          `${file.where([key, i])}: ${key}[${i}]: expected names to differ but "${entry.name}" is also ${key}[${first}]; give one of them another "name".`,
        );
      if (['none', 'full'].includes(entry.name) && key !== 'models')
        problems.push(`${file.where([key, i])}: ${key}[${i}]: expected another name than "${entry.name}", which stands for the baselines.`);
    });
  }
  const budgets: [options: RawTraining, keys: readonly PropertyKey[]][] = [
    [raw.training, ['training']],
    ...raw.repairs.map((r, i): [RawTraining, readonly PropertyKey[]] => [r, ['repairs', i]]),
    ...raw.overrides.flatMap((o, i): [RawTraining, readonly PropertyKey[]][] => (o.repair ? [[o.repair, ['overrides', i, 'repair']]] : [])),
  ];
  for (const [options, keys] of budgets) {
    const conflict = budgetConflict(options);
    if (conflict)
      problems.push(
        `${file.where(keys, conflict)}: ${pathName(keys)}: expected no "${conflict}" beside "steps", which is a budget of its own; leave one of them out.`,
      );
  }
  if (raw.normal === undefined) {
    repairs.forEach((r, i) => {
      if (r.kl)
        problems.push(
          `${file.where(['repairs', i])}: repairs[${i}]: expected "normal" (a file of ordinary texts) because "${r.name}" has a KL term; add "normal: FILE.jsonl" or "normal: { generate: 1000 }" at the top level.`,
        );
    });
  }
  const { toxicity, rtp, runningText, lastWord } = raw.evaluation;
  if (!toxicity && !rtp && !runningText && !lastWord) {
    problems.push(`${file.where(['evaluation'])}: evaluation: expected at least one of toxicity, rtp, runningText, lastWord.`);
  }
  if (runningText?.stride !== undefined && typeof runningText.window === 'number' && runningText.stride > runningText.window) {
    problems.push(
      `${file.where(['evaluation', 'runningText', 'stride'])}: evaluation.runningText.stride: expected at most the window of ${runningText.window} but received ${runningText.stride}.`,
    );
  }
  const config: StudyConfig = {
    name: raw.name,
    demo: raw.demo,
    models,
    pool: raw.pool,
    normal:
      raw.normal === undefined
        ? null
        : raw.normal.file === undefined
          ? { generate: raw.normal.generate as number }
          : { file: raw.normal.file },
    ...(raw.encoder === undefined ? {} : { encoder: raw.encoder }),
    selectors: selectors as SelectorConfig[],
    repairs,
    proportions: raw.proportions,
    boundaryRatios: raw.boundaryRatios,
    seeds: raw.seeds,
    fullData: raw.fullData,
    exclude: raw.exclude,
    overrides: raw.overrides as CellOverride[],
    evaluation: {
      toxicity: toxicity ? { ...toxicity, limit: toxicity.limit ?? null } : null,
      ...(rtp ? { rtp: { ...rtp, limit: rtp.limit ?? null } } : {}),
      runningText: runningText ? { ...runningText, window: runningText.window ?? null, stride: runningText.stride ?? null } : null,
      lastWord: lastWord ? { ...lastWord, limit: lastWord.limit ?? null } : null,
      scorer: raw.evaluation.scorer,
      ...(raw.evaluation.scorerLabel === undefined ? {} : { scorerLabel: raw.evaluation.scorerLabel }),
      bootstrapSeed: raw.evaluation.bootstrapSeed,
      samples: raw.evaluation.samples,
    },
  };
  problems.push(...ruleProblems(config, file), ...methodProblems(config, file));
  if (problems.length > 0) throw configError(problems);
  return config;
}

/** Patterns that name what the study does not have, and overrides that its methods do not understand. */
function ruleProblems(config: StudyConfig, file: YamlFile): string[] {
  const problems: string[] = [];
  const name = (keys: readonly PropertyKey[]) => `${file.where(keys)}: ${pathName(keys)}`;
  const known = (pattern: CellPattern, keys: readonly PropertyKey[]) => {
    const wrong = patternProblems(config, pattern);
    for (const { axis, sentence } of wrong) problems.push(`${name([...keys, axis])}: ${sentence}`);
    if (Object.values(pattern).every((v) => v === undefined))
      problems.push(
        `${name(keys)}: expected at least one axis (model, repair, selector, proportion, boundaryRatio, seed) but there is none.`,
      );
    return wrong.length === 0;
  };
  config.exclude.forEach((pattern, i) => {
    known(pattern, ['exclude', i]);
  });
  config.overrides.forEach(({ when, window, repair, selector }, i) => {
    const keys = ['overrides', i] as const;
    if (!known(when, [...keys, 'when'])) return;
    if (window === undefined && !repair && !selector)
      problems.push(`${name(keys)}: expected at least one of window, repair, selector beside "when".`);
    const narrow = Object.entries(when).filter(([axis, v]) => v !== undefined && axis !== 'model' && axis !== 'repair');
    if (window !== undefined && narrow.length > 0)
      problems.push(
        `${name([...keys, 'window'])}: expected "when" to name models and repairs only, because a subset and the full repair it is measured against share their window, but it names ${narrow.map(([axis]) => axis).join(', ')}.`,
      );
    for (const r of config.repairs.filter((c) => when.repair === undefined || when.repair.includes(c.name))) {
      for (const [key, methods] of [
        ['beta', ['dpo', 'npo']],
        ['slice', ['irepair']],
        ['blocks', ['irepair']],
      ] as const)
        if (repair?.[key] !== undefined && !(methods as readonly string[]).includes(r.method))
          problems.push(
            `${name([...keys, 'repair'])}: expected no "${key}" because "${r.name}" is ${r.method}; name the ${methods.join(' or ')} repairs in "when".`,
          );
      if (repair?.kl && config.normal === null)
        problems.push(
          `${name([...keys, 'repair'])}: expected "normal" (a file of ordinary texts) at the top level because this adds a KL term.`,
        );
    }
    for (const s of config.selectors.filter((c) => selector && (when.selector === undefined || when.selector.includes(c.name)))) {
      const merged = selectorSchema.safeParse({ ...s, ...selector });
      if (!merged.success)
        problems.push(...merged.error.issues.map((issue) => `${name([...keys, 'selector'])}: for "${s.name}": ${issue.message}`));
    }
  });
  return [...new Set(problems)];
}

/** Selectors whose values are possible one by one and impossible together. */
function methodProblems(config: StudyConfig, file: YamlFile): string[] {
  return config.selectors.flatMap((selector, i) => {
    try {
      for (const ratio of selector.method === 'saps' ? config.boundaryRatios : [null]) makeSelector(selector, ratio);
      return [];
    } catch (error) {
      if (!(error instanceof MendsetError)) throw error;
      return [`${file.where(['selectors', i])}: selectors[${i}]: ${error.message}`];
    }
  });
}

function lastSegment(path: string): string {
  return (
    path
      .replace(/^demo:/, 'demo-')
      .replace(/^hf:/, '')
      .split(/[\\/]/)
      .filter(Boolean)
      .at(-1) ?? path
  );
}
