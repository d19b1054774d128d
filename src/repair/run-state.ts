import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { MendsetError } from '../core/errors.ts';
import { fileError, writeFileAtomic } from '../core/files.ts';
import { LanguageModel } from '../model/language-model.ts';
import type { BackendName } from '../model/load-weights.ts';
import { saveCheckpoint } from '../model/save.ts';
import type { Trainer } from '../model/trainer.ts';
import type { StepLog, ValidationPoint } from './result.ts';

/** Everything of a run that changes, weights and optimiser apart. JSON keeps its numbers exactly. */
export interface RunState {
  step: number;
  examples: number;
  epoch: number;
  stepInEpoch: number;
  /** Records of the epoch already used */
  position: number;
  validatedExamples: number;
  withoutImprovement: number;
  best: { step: number; loss: number } | null;
  curve: ValidationPoint[];
  log: StepLog[];
  blockCounts: number[];
  sensitivitySums: number[];
  initialSensitivities: number[];
  sensitivitySteps: number;
  fixedBlocks: number[] | null;
  tokens: number;
  /** Of the side that the papers' FLOP formulas count: the chosen one where it is read */
  textTokens: number;
  /** Of training and validation */
  flops: number;
  referenceFlops: number;
  seconds: { train: number; validation: number; reference: number };
}

export function newRunState(layers: number): RunState {
  return {
    step: 0,
    examples: 0,
    epoch: 0,
    stepInEpoch: 0,
    position: 0,
    validatedExamples: 0,
    withoutImprovement: 0,
    best: null,
    curve: [],
    log: [],
    blockCounts: new Array<number>(layers).fill(0),
    sensitivitySums: new Array<number>(layers).fill(0),
    sensitivitySteps: 0,
    initialSensitivities: [],
    fixedBlocks: null,
    tokens: 0,
    textTokens: 0,
    flops: 0,
    referenceFlops: 0,
    seconds: { train: 0, validation: 0, reference: 0 },
  };
}

interface StateFile {
  readonly kind: 'mendset-repair-state';
  readonly version: 1;
  readonly fingerprint: string;
  /** null with an adapter, whose values stand in the optimiser's file */
  readonly weights: string | null;
  readonly optimizer: string;
  readonly best: string | null;
  readonly state: RunState;
}

/** A state keeps what training computes with: only then it continues bit for bit. */
const EXACT = { dtype: 'held' } as const;

/** Names the other files of the folder; without it there is nothing to resume. */
export const STATE_FILE = 'state.json';
/** What the original model says about the run's texts, where no other folder is given for it. */
export const REFERENCES = 'references';
const OWN_ENTRY = /^(weights-\d+|best-\d+|optimizer-\d+\.safetensors)$/;
/** What a process that was killed while it wrote leaves beside them. */
const REMAINS =
  /^(\.(weights|best)-\d+\.\d+-\w+\.(partial|previous)|optimizer-\d+\.safetensors\.\d+\.incomplete|\.state\.json\.\d+-\w+\.tmp)$/;

/**
 * The folder of an unfinished run: weights, best weights and optimiser state beside each other, and state.json, which names them
 * and is replaced last. A crash at any moment leaves the last complete state.
 */
export class RunStateFolder {
  readonly directory: string;
  readonly #fingerprint: string;
  #best: { step: number; folder: string } | null = null;
  #step: number | null = null;

  constructor(directory: string, fingerprint: string) {
    this.directory = directory;
    this.#fingerprint = fingerprint;
  }

  /** Steps behind the state of this run that the folder holds; null without one. */
  get writtenStep(): number | null {
    return this.#step;
  }

  /** Writes the state. The model leaves with the weights it came with, even when the best ones had to be fetched in between. */
  async write(model: LanguageModel, trainer: Trainer, state: RunState): Promise<void> {
    // A state of the same step differs by a validation that can be repeated; to replace its files in place would risk them.
    if (this.#step === state.step) return;
    await mkdir(this.directory, { recursive: true }).catch((error: unknown) => {
      throw fileError(error, this.directory, 'write');
    });
    const weights = trainer.adapter ? null : `weights-${state.step}`;
    const optimizer = `optimizer-${state.step}.safetensors`;
    trainer.saveState(join(this.directory, optimizer));
    if (weights !== null) {
      await saveCheckpoint(model.handle, null, join(this.directory, weights), EXACT);
      await this.#writeBest(model, trainer, state, weights);
    }
    const best = state.best ? (this.#best?.folder ?? null) : null;
    const file: StateFile = { kind: 'mendset-repair-state', version: 1, fingerprint: this.#fingerprint, weights, optimizer, best, state };
    await writeFileAtomic(join(this.directory, STATE_FILE), JSON.stringify(file));
    this.#step = state.step;
    for (const name of await readdir(this.directory)) {
      const unused = OWN_ENTRY.test(name) && name !== weights && name !== optimizer && name !== best;
      if (unused || REMAINS.test(name)) await rm(join(this.directory, name), { recursive: true, force: true });
    }
  }

  async #writeBest(model: LanguageModel, trainer: Trainer, state: RunState, weights: string): Promise<void> {
    if (!state.best || this.#best?.step === state.best.step) return;
    if (state.best.step === state.step) {
      this.#best = { step: state.step, folder: weights };
      return;
    }
    const folder = `best-${state.best.step}`;
    trainer.restore();
    await saveCheckpoint(model.handle, null, join(this.directory, folder), EXACT);
    await readWeights(model, join(this.directory, weights));
    this.#best = { step: state.best.step, folder };
  }

  /** Puts weights, best snapshot and optimiser back. Rejects with `not-found` without a state and `invalid-argument` for another run's. */
  async read(model: LanguageModel, trainer: Trainer): Promise<RunState> {
    const file = await this.#readFile();
    if (file.best !== null && file.state.best) {
      await readWeights(model, join(this.directory, file.best));
      trainer.snapshot();
      this.#best = { step: file.state.best.step, folder: file.best };
    }
    if (file.weights !== null) await readWeights(model, join(this.directory, file.weights));
    trainer.loadState(join(this.directory, file.optimizer));
    this.#step = file.state.step;
    return file.state;
  }

  async #readFile(): Promise<StateFile> {
    const path = join(this.directory, STATE_FILE);
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      throw new MendsetError(
        'not-found',
        `Expected the state of an unfinished run in ${path} but it cannot be read: start the run without resume.`,
        {
          cause: error,
        },
      );
    });
    let file: StateFile;
    try {
      file = JSON.parse(text) as StateFile;
    } catch (error) {
      throw new MendsetError(
        'corrupt',
        `Expected ${path} to be the state of a repair but it is not JSON: remove the folder and start anew.`,
        { cause: error },
      );
    }
    if (file.kind !== 'mendset-repair-state' || file.version !== 1) {
      throw new MendsetError('corrupt', `Expected ${path} to be the state of a repair of version 1: remove the folder and start anew.`);
    }
    if (file.fingerprint !== this.#fingerprint) {
      throw new MendsetError(
        'invalid-argument',
        `Expected ${path} to belong to this run but model, data, method or options differ from those it was written with: repeat them exactly, or start without resume.`,
      );
    }
    return file;
  }
}

function isOwn(name: string): boolean {
  return name === STATE_FILE || name === REFERENCES || OWN_ENTRY.test(name) || REMAINS.test(name);
}

/** Removes what {@link RunStateFolder} wrote, and the folder when nothing else is in it. */
export async function removeRunState(directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => []);
  // first, so that a kill in between leaves no state that names files which are gone
  await rm(join(directory, STATE_FILE), { force: true });
  for (const name of names) {
    if (isOwn(name)) await rm(join(directory, name), { recursive: true, force: true });
  }
  if (names.every(isOwn)) await rm(directory, { recursive: true, force: true });
}

/** Overwrites the model's weights with those of a checkpoint of the same shape. */
async function readWeights(model: LanguageModel, directory: string): Promise<void> {
  const { backend, threads } = model.summary;
  using stored = await LanguageModel.load(directory, { backend: backend as BackendName, threads, weights: 'stored' });
  model.takeWeights(stored);
}
