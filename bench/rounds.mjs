import { spawnSync } from 'node:child_process';

/** Cores that other processes may keep busy in a round that counts as undisturbed. */
const QUIET = 0.3;

/** Runs a measurement in a process of its own; its last line of output is one JSON object. */
export function measureOnce(command, args, environment = {}) {
  const { stdout, stderr, status } = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    env: { ...process.env, ...environment },
  });
  const line = stdout?.trim().split('\n').at(-1) ?? '';
  if (status === 0 && line.startsWith('{')) return JSON.parse(line);
  const lines = (stderr ?? '').trim().split('\n');
  return { failed: lines.findLast((text) => /Error\b.*:/.test(text)) ?? (lines.at(-1) || `exit ${status}`) };
}

/** The undisturbed rounds, and those that are counted: the undisturbed ones where there are at least three (or all), else every round. */
export function quietRounds(measurements, rounds) {
  const every = Array.from({ length: rounds }, (_, round) => round);
  const quiet = every.filter((round) => measurements.filter((m) => m.round === round).every((m) => (m.foreign ?? 0) <= QUIET));
  return { quiet, counted: quiet.length >= Math.min(3, rounds) ? quiet : every };
}
