// A model's architecture as data: what a config.json says, in one spelling, and how its checkpoint names its tensors.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/status.h"
#include "mendset/backend.h"
#include "model/json.h"

namespace mendset {

enum class QkvStorage {
  joined,    // one matrix, columns [q | k | v] (GPT-2)
  separate,  // three matrices (GPT-Neo, Llama)
  per_head,  // one matrix, rows [head][q, k, v][head width] (GPT-NeoX); held on the backend as [q | k | v]
};

// What stands on top of the blocks.
enum class ModelHead {
  language_model,  // of a decoder
  none,            // an encoder's hidden states
  classifier,      // an encoder's first token through a dense layer, tanh and one score per label
};

struct Family;

struct Architecture {
  const Family* family = nullptr;
  ModelHead head = ModelHead::language_model;
  int64_t layers = 0, width = 0, heads = 0, inner = 0, vocab = 0, context = 0;
  int64_t kv_heads = 0;  // keys and values; query head h reads h * kv_heads / heads
  int64_t head_dim = 0;  // of one head; heads * head_dim need not be the width
  int32_t norm_kind = MS_NORM_LAYER;
  float epsilon = 1e-5f;
  int32_t activation = MS_ACTIVATION_GELU_TANH;
  int32_t layout = MS_LAYOUT_IN_OUT;  // of every matrix inside a block
  QkvStorage qkv = QkvStorage::joined;
  bool qkv_bias = true, out_bias = true, mlp_bias = true;
  bool qk_norm = false;    // RMS norm of every head's query and key before rotation
  bool gated_mlp = false;  // f(gate) o up in place of f
  float attention_scale = 1;
  bool scale_by_block = false;   // scores of block b are divided by b + 1 too
  std::vector<int32_t> windows;  // per block, 0 = full attention
  bool learned_positions = true;
  int64_t position_offset = 0;  // row of the position table that the first token reads
  int32_t rotary_dims = 0;      // leading columns of each head that are rotated
  std::vector<double> rotary_frequencies;  // [rotary_dims / 2] radians per position
  float rotary_magnitude = 1;
  bool parallel_residual = false;
  bool tied_head = true;
  int64_t eos = -1;
  // Encoders only.
  int64_t token_types = 0, labels = 0;
  int64_t padding = -1;  // RoBERTa: positions do not count this id
  float initializer_range = 0.02f;

  int64_t q_width() const { return heads * head_dim; }
  int64_t kv_width() const { return kv_heads * head_dim; }
  // A row of the buffer that attention reads: [q | k | v], and behind them normed queries and keys if there are such.
  int64_t qkv_width() const { return q_width() + 2 * kv_width() + (qk_norm ? q_width() + kv_width() : 0); }
  int64_t q_column() const { return qk_norm ? q_width() + 2 * kv_width() : 0; }
  int64_t k_column() const { return q_column() + q_width(); }
  int64_t v_column() const { return q_width() + kv_width(); }
  // A row of the MLP's inner buffer, before its activation.
  int64_t inner_width() const { return gated_mlp ? 2 * inner : inner; }
  float scale_of_block(int32_t block) const {
    return scale_by_block ? attention_scale / static_cast<float>(block + 1) : attention_scale;
  }
};

// Reads a config in old or new spelling, for use with `head`. What is not implemented is refused by the name of its switch.
Status parse_architecture(const Json& config, ModelHead head, Architecture* out);

// Refuses an encoder where a language model is needed.
Status check_language_model(const Architecture& architecture);

// The config to store beside saved weights: `config` with every unknown key kept, both spellings written, and the element type
// set.
Json config_to_save(const Json& config, const Architecture& architecture, const std::string& dtype);

}  // namespace mendset
