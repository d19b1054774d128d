// A language model's architecture as data: what a config.json says, in one spelling, and how its checkpoint names its tensors.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/status.h"
#include "mendset/backend.h"
#include "model/json.h"

namespace mendset {

enum class QkvStorage {
  joined,    // one matrix, columns [q | k | v] (GPT-2)
  separate,  // three matrices (GPT-Neo)
  per_head,  // one matrix, rows [head][q, k, v][head width] (GPT-NeoX); held on the backend as [q | k | v]
};

// Tensor names of a family: `block` is followed by the block's index and a dot. Empty = the family has no such tensor.
struct FamilyNames {
  const char* family;  // model_type
  const char* prefix;
  bool prefix_optional;
  const char* token_embedding;
  const char* position_embedding;
  const char* block;
  const char* norm1;
  const char* norm2;
  std::array<const char*, 3> qkv;  // one name unless separate
  const char* attention_out;
  const char* mlp_in;
  const char* mlp_out;
  const char* final_norm;
  const char* head;                        // without prefix
  std::array<const char*, 3> old_buffers;  // inside a block; old checkpoints store them, nothing needs them
};

struct Architecture {
  const FamilyNames* names = nullptr;
  int64_t layers = 0, width = 0, heads = 0, inner = 0, vocab = 0, context = 0;
  int32_t norm_kind = MS_NORM_LAYER;
  float epsilon = 1e-5f;
  int32_t activation = MS_ACTIVATION_GELU_TANH;
  int32_t layout = MS_LAYOUT_IN_OUT;  // of every matrix inside a block
  QkvStorage qkv = QkvStorage::joined;
  bool qkv_bias = true, out_bias = true;
  float attention_scale = 1;
  std::vector<int32_t> windows;  // per block, 0 = full attention
  bool learned_positions = true;
  int32_t rotary_dims = 0;  // leading columns of each head that are rotated
  float rotary_base = 10000;
  bool parallel_residual = false;
  bool tied_head = true;
  int64_t eos = -1;
  float initializer_range = 0.02f;

  int64_t head_dim() const { return width / heads; }
};

// Reads a config in old or new spelling. What is not implemented is refused by the name of its switch.
Status parse_architecture(const Json& config, Architecture* out);

// The config to store beside saved weights: `config` with every unknown key kept, both spellings written, and the element type
// set.
Json config_to_save(const Json& config, const Architecture& architecture, const std::string& dtype);

}  // namespace mendset
