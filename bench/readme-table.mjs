// Writes the performance tables of README.md, between their markers, from bench/results/selection-peers.json and lm.json.
//   npm run bench -- readme [--check]      --check changes nothing and fails when the table is not that of the results
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './machine.mjs';

const BEGIN = '<!-- table of bench/results/selection-peers.json: npm run bench -- readme -->';
const LM_BEGIN = '<!-- table of bench/results/lm.json: npm run bench -- readme -->';
const END = '<!-- end of table -->';
const { rows, machine, threads } = JSON.parse(readFileSync(join(root, 'bench', 'results', 'selection-peers.json'), 'utf8'));

const cells = (row) => {
  const measured = row.peers.filter((peer) => peer.ratio !== undefined && peer.ratio !== null);
  const peers = measured.map(
    (peer) =>
      `${peer.peer} ${peer.ratio.toFixed(1)}${peer.extrapolated ? ' (extrapolated)' : ''}${peer.approximate ? ' (approximate)' : ''}`,
  );
  return [
    row.title,
    row.seconds < 0.1 ? `${(row.seconds * 1000).toFixed(0)} ms` : `${row.seconds.toFixed(2)} s`,
    row.gflops === null ? '' : row.gflops.toFixed(0),
    row.gbs === null || row.gbs < 1 ? '' : row.gbs.toFixed(0),
    `${(row.peakBytes / 2 ** 20).toFixed(0)} (${(row.inputBytes / 2 ** 20).toFixed(0)})`,
    peers.join(', ') || 'none measured',
  ];
};
const versions = new Map(rows.flatMap((row) => row.peers.filter((peer) => peer.version).map((peer) => [peer.peer, peer.version])));
const quiet = Math.min(...rows.map((row) => row.quietRounds));
const counts = rows.map((row) => row.rounds);
const rounds = Math.min(...counts) === Math.max(...counts) ? counts[0] : `${Math.min(...counts)} to ${Math.max(...counts)}`;
const lines = [
  BEGIN,
  '',
  '| work | time | GFLOP/s* | GB/s* | peak MiB (input) | times as long as ours |',
  '| --- | ---: | ---: | ---: | ---: | --- |',
  ...rows.map((row) => `| ${cells(row).join(' | ')} |`),
  '',
  `${machine.cpu}, ${threads} threads, ${machine.isa}, ${machine.date.slice(0, 10)}, Node ${machine.node}, commit ${machine.commit?.slice(0, 10) ?? 'unknown'}${machine.changed ? ' with changes' : ''}; ${[...versions].map(([peer, version]) => `${peer} ${version}`).join(', ')}.`,
  `Medians of ratios within ${rounds} interleaved rounds, at least ${quiet} of them undisturbed (bench/results has every round). * of the plain algorithm: what bounds and pools skip counts as done. Peak: the whole process, Node's own 60 MiB included.`,
  '',
  END,
];
const path = join(root, 'README.md');
const text = readFileSync(path, 'utf8');
const wanted = replaced(replaced(text, BEGIN, lines), LM_BEGIN, modelLines());
if (process.argv.includes('--check')) process.exit(wanted === text ? 0 : 1);
writeFileSync(path, wanted);

/** The text with what stands from `begin` to the next end marker replaced. */
function replaced(whole, begin, table) {
  const from = whole.indexOf(begin);
  const to = whole.indexOf(END, from);
  if (from < 0 || to < from) {
    console.error(`Expected the markers "${begin}" and "${END}" in README.md but they are missing.`);
    process.exit(1);
  }
  return whole.slice(0, from) + table.join('\n') + whole.slice(to + END.length);
}

function modelLines() {
  const lm = JSON.parse(readFileSync(join(root, 'bench', 'results', 'lm.json'), 'utf8'));
  const lmQuiet = Math.min(...lm.rows.map((row) => row.quietRounds));
  const lmRounds = Math.min(...lm.rows.map((row) => row.rounds));
  const lmVersions = new Map(
    lm.rows.flatMap((row) => row.peers.filter((peer) => peer.version).map((peer) => [peer.peer.split('-')[0], peer.version])),
  );
  const mib = (bytes) => (bytes / 2 ** 20).toFixed(0);
  return [
    LM_BEGIN,
    '',
    '| work | time | tokens/s | peak MiB | times as long as ours | their peak MiB |',
    '| --- | ---: | ---: | ---: | --- | ---: |',
    ...lm.rows.map((row) => {
      const peers = row.peers.filter((peer) => peer.ratio !== undefined);
      const time = row.seconds < 0.1 ? `${(row.seconds * 1000).toFixed(1)} ms` : `${row.seconds.toFixed(2)} s`;
      const ratios = peers.map((peer) => `${peer.peer} ${peer.ratio.toFixed(1)}`).join(', ') || 'none measured';
      return `| ${row.title} | ${time} | ${Math.round(row.tokensPerSecond).toLocaleString('en-US')} | ${mib(row.peakBytes)} | ${ratios} | ${peers.map((peer) => mib(peer.peakBytes)).join(', ')} |`;
    }),
    '',
    `${lm.machine.cpu}, ${lm.threads} threads, ${lm.machine.isa}${lm.peerIsa ? ` (PyTorch limited to ${lm.peerIsa})` : ''}, ${lm.machine.date.slice(0, 10)}, commit ${lm.machine.commit?.slice(0, 10) ?? 'unknown'}; ${[...lmVersions].map(([peer, version]) => `${peer} ${version}`).join(', ')}.`,
    `Medians of ratios within ${lmRounds} interleaved rounds, at least ${lmQuiet} of them undisturbed. The original model that KL and DPO compare with runs inside the peer's steps, as published; ours computed what it says before.`,
    '',
    END,
  ];
}
