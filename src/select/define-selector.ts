import { MendsetError } from '../core/errors.ts';
import type { Matrix } from '../core/matrix.ts';
import { requireMemory } from '../core/memory.ts';
import { throwIfAborted } from '../core/run-options.ts';
import { isMapped } from '../native/map-file.ts';
import { type EngineReport, JAVASCRIPT } from './engine.ts';
import { featuresHash } from './features-hash.ts';
import type {
  FeatureKind,
  FeatureTypes,
  PhaseWork,
  Preset,
  Selection,
  SelectionInput,
  SelectOptions,
  Selector,
  SelectorLabel,
} from './selector.ts';

/** What a method decides; the frame adds the rest of the `Selection`. */
export interface Choice {
  readonly indices: Int32Array;
  readonly scores?: Float64Array;
  readonly clusters?: Int32Array;
  readonly quotas?: Int32Array;
  readonly radii?: Float64Array;
  readonly coverage?: number;
  readonly gains?: Float64Array;
  readonly value?: number;
  readonly inertia?: number;
  /** What computed it; default JavaScript alone */
  readonly engine?: EngineReport;
  /** An entry for each phase that was timed */
  readonly work?: Readonly<Record<string, PhaseWork>>;
  readonly dropped?: number;
  readonly warnings?: readonly string[];
}

/** Runs `work` and adds its wall time in milliseconds to the phase. */
export type Timed = <R>(phase: string, work: () => R | Promise<R>) => Promise<R>;

export interface SelectorDefinition<F extends FeatureKind> {
  readonly name: SelectorLabel;
  /** Default `principled` */
  readonly preset?: Preset | undefined;
  readonly needs: readonly F[];
  /** Recorded with the result; default none */
  readonly parameters?: Readonly<Record<string, unknown>> | undefined;
  /** Bytes beside the input, for n records of d features; default: a few numbers for each record */
  workBytes?(n: number, d: number, budget: number): number;
  /** Called with a checked input and 1 <= budget <= n. */
  choose(input: SelectionInput<F>, options: SelectOptions, timed: Timed): Choice | Promise<Choice>;
}

/**
 * The part that all selectors share, yours too: checks before work, the empty selection, timings, and the form of the result.
 *
 * @example
 * const first = defineSelector({ name: 'first', needs: [], choose: ({ budget }) => ({ indices: Int32Array.from({ length: budget }, (_, i) => i) }) });
 */
export function defineSelector<F extends FeatureKind>(definition: SelectorDefinition<F>): Selector<F> {
  const { name, preset = 'principled', needs, parameters = {} } = definition;
  return {
    name,
    preset,
    needs,
    parameters,
    workBytes: (n, d, budget) => workBytes(definition, n, d, budget),
    async select(input: SelectionInput<F>, options: SelectOptions = {}): Promise<Selection> {
      checkInput(name, needs, input);
      throwIfAborted(options.signal);
      const features: Partial<FeatureTypes> = input.features;
      const memory = estimate(definition, input);
      // The input is in memory already: it counts against a limit of the caller's, not against what is still free.
      requireMemory(
        `${name} on ${input.n} records`,
        options.memoryLimit === undefined ? { work: memory.work } : memory,
        options.memoryLimit,
      );
      const timings: Record<string, number> = {};
      const timed: Timed = async (phase, work) => {
        const start = performance.now();
        try {
          return await work();
        } finally {
          timings[phase] = (timings[phase] ?? 0) + performance.now() - start;
        }
      };
      const choice: Choice = input.budget === 0 ? { indices: new Int32Array(0) } : await definition.choose(input, options, timed);
      const { indices, engine, scores, dropped, warnings, work, ...details } = choice;
      const hashed = options.poolHash === undefined && Object.keys(features).length > 0;
      const poolHash = hashed ? await timed('hash', () => featuresHash(features, options)) : (options.poolHash ?? null);
      return {
        indices,
        ids: input.ids ? Array.from(indices, (i) => input.ids?.[i] ?? '') : null,
        scores: scores ?? null,
        ...details,
        timings,
        work: { ...work, ...(hashed ? { hash: { flops: 0, bytes: featureBytes(features) } } : {}) },
        memory: { ...memory, peak: process.resourceUsage().maxRSS * 1024 },
        poolHash,
        method: name,
        preset,
        parameters,
        n: input.n,
        budget: input.budget,
        seed: BigInt(input.seed).toString(),
        ...(engine ?? JAVASCRIPT),
        dropped: dropped ?? 0,
        warnings: warnings ?? [],
      };
    },
  };
}

function estimate<F extends FeatureKind>(definition: SelectorDefinition<F>, input: SelectionInput<F>): { input: number; work: number } {
  const features: Partial<FeatureTypes> = input.features;
  const columns = features.embeddings?.columns ?? 0;
  return {
    input: featureBytes(features, (array) => !isMapped(array)), // pages of a file can be given back
    work: workBytes(definition, input.n, columns, input.budget),
  };
}

function featureBytes(features: Partial<FeatureTypes>, counts: (array: ArrayBufferView) => boolean = () => true): number {
  const given = Object.values(features).filter((feature) => feature !== undefined && feature !== null);
  const arrays = given.map((feature) => ('rows' in feature ? feature.data : feature));
  return arrays.reduce((sum, array) => sum + (counts(array) ? array.byteLength : 0), 0);
}

function workBytes<F extends FeatureKind>(definition: SelectorDefinition<F>, n: number, d: number, budget: number): number {
  return definition.workBytes?.(n, d, budget) ?? 24 * n;
}

function checkInput<F extends FeatureKind>(name: SelectorLabel, needs: readonly F[], input: SelectionInput<F>): void {
  const { n, budget, seed } = input;
  if (!Number.isSafeInteger(n) || n < 0 || n > 0x7fffffff) {
    throw new MendsetError('invalid-argument', `Expected a window of 0 to 2147483647 records but received ${n}.`);
  }
  if (!Number.isSafeInteger(budget) || budget < 0 || budget > n) {
    throw new MendsetError('invalid-argument', `Expected a budget that is an integer from 0 to ${n} but received ${budget}.`);
  }
  if (typeof seed !== 'bigint' && !Number.isSafeInteger(seed)) {
    throw new MendsetError('invalid-argument', `Expected a seed that is an integer but received ${seed}.`);
  }
  if (input.ids && input.ids.length !== n) {
    throw new MendsetError('invalid-argument', `Expected ids of ${n} records but received ${input.ids.length}.`);
  }
  for (const kind of needs) {
    const feature: unknown = input.features?.[kind];
    if (feature === undefined || feature === null) {
      throw new MendsetError('invalid-argument', `Expected ${kind} because ${name} needs them, but the input has none.`);
    }
    const rows = ArrayBuffer.isView(feature) ? (feature as Float64Array).length : (feature as Matrix).rows;
    if (rows !== n) throw new MendsetError('invalid-argument', `Expected ${kind} for ${n} records but received ${rows}.`);
  }
}

/** Throws `invalid-argument` unless a parameter is an integer in [low, high]. */
export function requireInteger(name: string, value: number, low: number, high: number = Number.MAX_SAFE_INTEGER): void {
  if (Number.isSafeInteger(value) && value >= low && value <= high) return;
  const range = high === Number.MAX_SAFE_INTEGER ? `of at least ${low}` : `from ${low} to ${high}`;
  throw new MendsetError('invalid-argument', `Expected an integer ${range} for ${name} but received ${value}.`);
}

/** Throws `invalid-argument` unless a parameter is one of a closed set. */
export function requireOneOf<T extends string>(name: string, value: T, allowed: readonly T[]): void {
  if (allowed.includes(value)) return;
  throw new MendsetError(
    'invalid-argument',
    `Expected ${allowed.map((each) => `'${each}'`).join(', ')} for ${name} but received '${value}'.`,
  );
}

/** Throws `invalid-argument` unless a parameter lies in [low, high]. */
export function requireNumber(name: string, value: number, low: number, high: number): void {
  if (value >= low && value <= high) return;
  throw new MendsetError('invalid-argument', `Expected a number from ${low} to ${high} for ${name} but received ${value}.`);
}
