/** What a launch file needs to know. */
export interface JobSpec {
  /** Of the study; becomes part of the job's name */
  readonly name: string;
  readonly studyFile: string;
  /** Folder that all machines share */
  readonly directory: string;
  /** Shares of the grid, one array task each */
  readonly shares: number;
  readonly threads: number;
  readonly memoryBytes: number;
}

export interface KubernetesSpec extends JobSpec {
  readonly image: string;
  /** PersistentVolumeClaim that is mounted at /study and holds file and folder */
  readonly claim: string;
}

/**
 * A Slurm array job: one task for each share. A task that is killed, preempted or requeued goes on inside the cell it was in; two
 * minutes before the time limit it is told to save.
 */
export function slurmScript(job: JobSpec): string {
  return `#!/bin/bash
#SBATCH --job-name=${label(job.name)}
#SBATCH --array=1-${job.shares}
#SBATCH --cpus-per-task=${job.threads}
#SBATCH --mem=${mebibytes(job)}M
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@120
# One log for each share, beside the results. Send the file with: sbatch THIS_FILE
#SBATCH --output=${job.directory}/slurm-%a.log

export MENDSET_THREADS="\${SLURM_CPUS_PER_TASK:-${job.threads}}"
mendset study ${quoted(job.studyFile)} --out ${quoted(job.directory)} --cells "\${SLURM_ARRAY_TASK_ID}/${job.shares}" &
study=$!
# the first signal lets mendset save the cell it is in
trap 'kill -TERM "$study"' TERM
wait "$study"
code=$?
if [ "$code" -gt 128 ]; then wait "$study"; code=$?; fi
# 130: interrupted with everything saved; the next start goes on from there
if [ "$code" -eq 130 ]; then scontrol requeue "\${SLURM_ARRAY_JOB_ID}_\${SLURM_ARRAY_TASK_ID}"; fi
exit "$code"
`;
}

/** A Kubernetes Indexed Job. Wrong input (exit code 2) fails its index at once, everything else is tried again three times. */
export function kubernetesJob(job: KubernetesSpec): string {
  const command = `exec mendset study ${quoted(job.studyFile)} --out ${quoted(job.directory)} --cells "$((JOB_COMPLETION_INDEX + 1))/${job.shares}"`;
  return `apiVersion: batch/v1
kind: Job
metadata:
  name: ${label(job.name)}
spec:
  completionMode: Indexed
  completions: ${job.shares}
  parallelism: ${job.shares}
  backoffLimitPerIndex: 3
  maxFailedIndexes: ${job.shares}
  podFailurePolicy:
    rules:
      - action: FailIndex
        onExitCodes: { containerName: study, operator: In, values: [2] }
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 120
      containers:
        - name: study
          image: ${JSON.stringify(job.image)}
          command: ["sh", "-c", ${JSON.stringify(command)}]
          workingDir: /study
          env:
            - { name: MENDSET_THREADS, value: "${job.threads}" }
          resources:
            requests: { cpu: "${job.threads}", memory: ${mebibytes(job)}Mi }
            limits: { memory: ${mebibytes(job)}Mi }
          volumeMounts:
            - { name: study, mountPath: /study }
      volumes:
        - name: study
          persistentVolumeClaim: { claimName: ${JSON.stringify(job.claim)} }
`;
}

/** With a third to spare: the estimate knows nothing of fragmentation. */
function mebibytes(job: JobSpec): number {
  return Math.ceil((job.memoryBytes * 4) / 3 / 2 ** 20);
}

/** A DNS label, as both launchers take it. */
function label(name: string): string {
  const plain = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '');
  return `mendset-${plain || 'study'}`.slice(0, 60).replace(/-+$/, '');
}

function quoted(path: string): string {
  return `'${path.replaceAll("'", "'\\''")}'`;
}
