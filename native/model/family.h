// What distinguishes one model family's checkpoints from another's: the names of its tensors and how its config is read.
#pragma once

#include <array>
#include <span>

#include "model/architecture.h"
#include "model/config_reader.h"

namespace mendset {

// Tensor names: `block` is followed by the block's index and a dot. Empty = the family has no such tensor.
struct Family {
  const char* name = "";  // model_type
  bool encoder = false;
  const char* prefix = "";  // of every tensor but `head` and `classifier`; published checkpoints may leave it out
  const char* token_embedding = "";
  const char* position_embedding = "";
  const char* token_type_embedding = "";
  const char* embedding_norm = "";
  const char* block = "";
  const char* norm1 = "";
  const char* norm2 = "";
  std::array<const char*, 3> qkv{"", "", ""};  // one name unless separate
  const char* attention_out = "";
  const char* q_norm = "";
  const char* k_norm = "";
  const char* mlp_in = "";  // the gate where there is one
  const char* mlp_up = "";
  const char* mlp_out = "";
  const char* final_norm = "";
  const char* head = "";
  const char* pooler = "";  // the classifier's dense layer with tanh behind it
  bool pooler_has_prefix = true;
  const char* classifier = "";
  // Inside a block; old checkpoints store them, nothing needs them.
  std::array<const char*, 3> old_buffers{"", "", ""};
  // Tensors of heads that are not in use, and buffers outside the blocks: all whose name, without the prefix, begins so.
  std::array<const char*, 5> unused{"", "", "", "", ""};

  void (*read)(ConfigReader& config, Architecture* architecture) = nullptr;
};

std::span<const Family> gpt_families();
std::span<const Family> llama_families();
std::span<const Family> encoder_families();

// Rotary embedding of the first `fraction` of every head's columns: rope_parameters as transformers 5 writes it, else rope_scaling
// and the older keys of base and fraction (null: the family has none).
void read_rotary(ConfigReader& config, const char* base_key, const char* fraction_key, double default_fraction, Architecture* a);

}  // namespace mendset
