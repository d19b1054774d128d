import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileError, writeFileAtomic } from '../core/files.ts';
import { EventFile } from './event-file.ts';
import type { StepLog, ValidationPoint } from './result.ts';
import type { RunState } from './run-state.ts';

/** What a step cost; unlike its losses it differs from run to run. */
export interface StepCost {
  readonly seconds: number;
  readonly tokensPerSecond: number;
  /** Resident memory of the process after the step */
  readonly memoryBytes: number;
}

export interface TrainingLogOptions {
  /** JSON lines, one for each step and validation as they happen */
  readonly jsonl?: string | undefined;
  /** Folder for TensorBoard's event files */
  readonly tensorboard?: string | undefined;
}

/** One line of the JSONL log. */
export type TrainingLogLine = ({ readonly kind: 'step' } & StepLog & StepCost) | ({ readonly kind: 'validation' } & ValidationPoint);

/**
 * Writes a run's steps and validations while it runs. A resumed run keeps the lines up to the state it resumed from and writes the rest
 * anew, so that the log of an interrupted run has each step once.
 */
export class TrainingLog {
  readonly #jsonl: string | null;
  readonly #events: EventFile | null;

  private constructor(jsonl: string | null, events: EventFile | null) {
    this.#jsonl = jsonl;
    this.#events = events;
  }

  /** `resumed`: what a run that is continued has behind it; null for a new run, which replaces an earlier log. */
  static async open(options: TrainingLogOptions, resumed: Pick<RunState, 'step' | 'curve'> | null): Promise<TrainingLog> {
    const { jsonl = null, tensorboard } = options;
    if (jsonl !== null) {
      await mkdir(dirname(jsonl), { recursive: true }).catch((error: unknown) => {
        throw fileError(error, jsonl, 'write');
      });
      await writeFileAtomic(jsonl, resumed === null ? '' : await linesBefore(jsonl, resumed));
    }
    const events = tensorboard === undefined ? null : await EventFile.create(tensorboard, resumed?.step ?? null);
    const log = new TrainingLog(jsonl, events);
    // forgotten by TensorBoard with the steps from there on, though it has been done
    const last = resumed?.curve.at(-1);
    if (last && last.step === resumed?.step) await log.#validationEvents(last);
    return log;
  }

  async step(log: StepLog, cost: StepCost): Promise<void> {
    await this.#line({ kind: 'step', ...log, ...cost });
    await this.#events?.scalars(log.step, {
      'train/loss': log.loss,
      'train/loss_repair': log.lossRepair,
      ...(log.lossKl === null ? {} : { 'train/loss_kl': log.lossKl }),
      'train/gradient_norm': log.gradientNorm,
      'train/learning_rate': log.learningRate,
      'train/examples': log.examples,
      ...(log.blocks === null ? {} : { 'train/block': log.blocks[0] ?? -1 }),
      'cost/tokens_per_second': cost.tokensPerSecond,
      'cost/memory_bytes': cost.memoryBytes,
    });
  }

  async validation(point: ValidationPoint): Promise<void> {
    await this.#line({ kind: 'validation', ...point });
    await this.#validationEvents(point);
  }

  async #validationEvents(point: ValidationPoint): Promise<void> {
    await this.#events?.scalars(point.step, {
      'validation/loss': point.loss,
      'validation/loss_repair': point.lossRepair,
      ...(point.lossKl === null ? {} : { 'validation/loss_kl': point.lossKl }),
    });
  }

  async close(): Promise<void> {
    await this.#events?.close();
  }

  async #line(line: TrainingLogLine): Promise<void> {
    if (this.#jsonl === null) return;
    try {
      await appendFile(this.#jsonl, `${JSON.stringify(line)}\n`);
    } catch (error) {
      throw fileError(error, this.#jsonl, 'write');
    }
  }
}

/** The lines of what was done before; a last line that was cut off is dropped. */
async function linesBefore(path: string, { step, curve }: Pick<RunState, 'step' | 'curve'>): Promise<string> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw fileError(error, path, 'read');
  });
  const whole = text.slice(0, text.lastIndexOf('\n') + 1).split('\n');
  return whole
    .filter((line) => {
      if (line === '') return false;
      const entry = JSON.parse(line) as TrainingLogLine;
      return entry.kind === 'step' ? entry.step < step : curve.some((point) => point.step === entry.step);
    })
    .map((line) => `${line}\n`)
    .join('');
}
