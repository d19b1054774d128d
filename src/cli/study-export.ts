import { resolve } from 'node:path';
import { estimateStudy } from '../study/estimate.ts';
import { kubernetesJob, slurmScript } from '../study/export-jobs.ts';
import { openStudy } from '../study/open-study.ts';
import type { CommandContext } from './command-context.ts';

/** An array job of one task for each share, for the default limit of Slurm. */
const MOST_SHARES = 1000;

/** `mendset study export FILE --slurm | --k8s`: the launch file on stdout. */
export async function runExport({ options, furtherWords, shared, signal, result }: CommandContext): Promise<number> {
  const path = furtherWords[0];
  if (path === undefined) options.problem('Expected mendset study export <file.yaml>, the study, but it is missing.');
  const slurm = options.flag('slurm');
  const k8s = options.flag('k8s');
  if (slurm === k8s) options.problem('Expected either --slurm or --k8s, to say for which launcher.');
  const directory = options.required('out', 'to name the folder that all machines share');
  const asked = options.count('shares', 1, MOST_SHARES);
  const image = k8s ? options.required('image', 'to name a container image with mendset') : '';
  const claim = k8s ? options.required('claim', 'to name the volume claim that holds study and results') : '';
  if (!k8s) options.refuse(['image', 'claim'], 'without --k8s');
  await options.input(path, 'file', 'study', 'the study');
  const opened = path === undefined ? undefined : await options.attempt(() => openStudy(path, { signal }));
  options.finish();
  const { inputs, plan } = opened as NonNullable<typeof opened>;
  const groups = new Set(plan.cells.filter((c) => c.kind !== 'unrepaired').map((c) => c.group)).size;
  const { memoryBytes } = await estimateStudy(inputs, plan.cells, { calibration: false });
  const job = {
    name: plan.config.name,
    studyFile: k8s ? (path as string) : resolve(path as string),
    directory: k8s ? directory : resolve(directory),
    // a share below a group of cells that are measured against one another would be empty
    shares: Math.min(asked ?? MOST_SHARES, Math.max(1, groups)),
    threads: shared.threads ?? 8,
    memoryBytes,
  };
  const text = k8s ? kubernetesJob({ ...job, image, claim }) : slurmScript(job);
  result({ ...job, launcher: k8s ? 'kubernetes' : 'slurm', file: text }, text);
  return 0;
}
