// The rows of the language-model comparison: which work, on which model and how many tokens, against whom, and the ratio aimed at.
// peers: `torch` is a lean functional GPT-2 in PyTorch (no module overhead, fused attention), `transformers` its `generate`.

export const LM_ROWS = [
  { name: 'forward', work: 'forward', model: 'gpt2-small', batch: 4, length: 128, peers: ['torch'], target: 1.3 },
  { name: 'gradient', work: 'gradient', model: 'gpt2-small', batch: 4, length: 128, peers: ['torch'], target: 1.35, memoryTarget: 0.7 },
  { name: 'gradient-256', work: 'gradient', model: 'gpt2-small', batch: 4, length: 256, peers: ['torch'], target: 1.35, memoryTarget: 0.7 },
  { name: 'step', work: 'step', model: 'gpt2-small', batch: 4, length: 128, peers: ['torch'] },
  { name: 'step-kl', work: 'step-kl', model: 'gpt2-small', batch: 4, length: 128, peers: ['torch'], target: 2 },
  { name: 'dpo', work: 'dpo', model: 'gpt2-small', batch: 4, length: 128, peers: ['torch'], target: 2 },
  { name: 'irepair', work: 'irepair', model: 'gpt2-small', batch: 4, length: 128, peers: ['torch'], target: 1.8 },
  { name: 'norms', work: 'norms', model: 'gpt2-small', batch: 4, length: 128, peers: ['torch-naive', 'torch-ghost'], target: 3 },
  { name: 'generate', work: 'generate', model: 'gpt2-small', batch: 16, length: 20, peers: ['transformers'], target: 2 },
  { name: 'demo-step', work: 'step', model: 'demo', batch: 4, length: 32, peers: ['torch'], target: 4 },
];

/** What a person reads. `batch` x `length` tokens; of generation: prompts x new tokens. */
export function lmRowTitle({ work, model, batch, length }) {
  const shape = `${model === 'demo' ? 'demo model (3.5 M)' : 'GPT-2 small'}, ${batch} x ${length}`;
  switch (work) {
    case 'forward':
      return `loss, no gradient, ${shape}`;
    case 'gradient':
      return `forward + backward, ${shape}`;
    case 'step':
      return `training step with RMSprop, ${shape}`;
    case 'step-kl':
      return `the same with KL on as many normal tokens, ${shape}`;
    case 'dpo':
      return `DPO step, pairs, ${shape}`;
    case 'irepair':
      return `IRepair step, ${shape}`;
    case 'norms':
      return `exact per-example gradient norms, ${shape}`;
    default:
      return `greedy generation, ${shape} new tokens`;
  }
}
