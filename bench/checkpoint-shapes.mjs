/** config.json of the hub's checkpoints, what matters for shapes. */
export const SHAPES = {
  'gpt2-small': { model_type: 'gpt2', n_layer: 12, n_embd: 768, n_head: 12, vocab_size: 50257, n_positions: 1024 },
  'gpt2-large': { model_type: 'gpt2', n_layer: 36, n_embd: 1280, n_head: 20, vocab_size: 50257, n_positions: 1024 },
  'gpt2-xl': { model_type: 'gpt2', n_layer: 48, n_embd: 1600, n_head: 25, vocab_size: 50257, n_positions: 1024 },
  'gpt-neo-1.3b': {
    model_type: 'gpt_neo',
    num_layers: 24,
    hidden_size: 2048,
    num_heads: 16,
    vocab_size: 50257,
    max_position_embeddings: 2048,
    attention_types: [[['global', 'local'], 12]],
    window_size: 256,
  },
  'pythia-2.8b': {
    model_type: 'gpt_neox',
    num_hidden_layers: 32,
    hidden_size: 2560,
    num_attention_heads: 32,
    intermediate_size: 10240,
    vocab_size: 50304,
    max_position_embeddings: 2048,
    rotary_pct: 0.25,
    use_parallel_residual: true,
    tie_word_embeddings: false,
  },
};
