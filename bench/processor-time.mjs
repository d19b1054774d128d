import { readFileSync, writeFileSync } from 'node:fs';
import { median } from './machine.mjs';

/** Seconds of processor time that the whole machine has spent; null where the system does not say. */
function machineBusy() {
  try {
    const fields = readFileSync('/proc/stat', 'latin1').split('\n', 1)[0].trim().split(/\s+/).slice(1, 9).map(Number);
    return (fields.reduce((sum, value) => sum + value, 0) - fields[3] - fields[4]) / 100;
  } catch {
    return null;
  }
}

function ownBusy() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

const residentBytes = (name) => Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(readFileSync('/proc/self/status', 'latin1'))[1]) * 1024;

/** Forgets the process's peak so far; what it holds now, or null where the system has no such switch. */
function forgetPeak() {
  try {
    writeFileSync('/proc/self/clear_refs', '5');
    return residentBytes('VmRSS');
  } catch {
    return null;
  }
}

/**
 * Runs `work` and says its wall time, its processor time, how many cores other processes kept busy meanwhile, and `workBytes`:
 * how far its memory rose above what was there before (null where the system does not say).
 */
export async function timed(work) {
  const before = forgetPeak();
  const [machine, own, start] = [machineBusy(), ownBusy(), performance.now()];
  const result = await work();
  const seconds = (performance.now() - start) / 1000;
  const processorSeconds = ownBusy() - own;
  const foreign = machine === null ? null : Math.max(0, machineBusy() - machine - processorSeconds) / Math.max(seconds, 1e-9);
  const workBytes = before === null ? null : Math.max(0, residentBytes('VmHWM') - before);
  return { result, seconds, processorSeconds, foreign, workBytes };
}

/** Seconds that repeated runs of a short work take together, and the most of them. */
const REPEATED_SECONDS = 2;
const MOST_RUNS = 15;

/**
 * `timed`; a work of less than half a second is run again until two seconds have passed, since threads that were idle run at a lower clock at first.
 * `seconds` is then the median of the later half of `runs`, and memory that of the first run. `measure.py` does the same.
 */
export async function timedRepeatedly(work) {
  const first = await timed(work);
  if (first.seconds >= 0.5) return { ...first, runs: 1 };
  const runs = [first];
  for (let spent = first.seconds; spent < REPEATED_SECONDS && runs.length < MOST_RUNS; spent += runs.at(-1).seconds)
    runs.push(await timed(work));
  const later = runs.slice(runs.length >> 1);
  const of = (key) => median(later.map((run) => run[key]));
  const foreign = later.some((run) => run.foreign === null) ? null : Math.max(0, of('foreign'));
  return { ...first, seconds: of('seconds'), processorSeconds: of('processorSeconds'), foreign, runs: runs.length };
}
