// GPT-2, GPT-Neo and GPT-NeoX.
#include <cmath>
#include <string>

#include "model/family.h"

namespace mendset {

namespace {

void read_gpt2(ConfigReader& config, Architecture* a) {
  a->width = config.size("n_embd");
  a->layers = config.layers("n_layer");
  a->heads = config.size("n_head");
  a->context = config.find("n_positions") != nullptr ? config.size("n_positions") : config.size("n_ctx");
  a->inner = config.size("n_inner", 4 * a->width);
  a->activation = config.activation("activation_function", "gelu_new");
  a->epsilon = static_cast<float>(config.number("layer_norm_epsilon", 1e-5));
  // Another order of the same arithmetic, for fp16; scores are fp32 here anyway.
  config.flag("reorder_and_upcast_attn", false);
  config.refuse("add_cross_attention");
  a->kv_heads = a->heads;
  a->head_dim = config.head_dim(a->width, a->heads);
  a->attention_scale = config.flag("scale_attn_weights", true) ? 1 / std::sqrt(static_cast<float>(a->head_dim)) : 1.0f;
  a->scale_by_block = config.flag("scale_attn_by_inverse_layer_idx", false);
  a->windows.assign(static_cast<size_t>(a->layers), 0);
  a->tied_head = config.flag("tie_word_embeddings", true);
}

// attention_types: [[["global", "local"], repeats], ...]; attention_layers is the same list written out.
void read_gpt_neo_windows(ConfigReader& config, Architecture* a) {
  const int32_t window = static_cast<int32_t>(config.size("window_size", 256));
  auto append = [&](const Json& kind) {
    if (kind.is_string() && kind.as_string() == "global")
      a->windows.push_back(0);
    else if (kind.is_string() && kind.as_string() == "local")
      a->windows.push_back(window);
    else
      config.fail(failure(Code::unsupported, "config.json: attention kind %.40s; supported are \"global\" and \"local\".",
                          kind.write(0).c_str()));
  };
  if (const Json* layers = config.find("attention_layers"); layers != nullptr && layers->is_array()) {
    for (const Json& kind : layers->items()) append(kind);
  } else if (const Json* types = config.find("attention_types"); types != nullptr && types->is_array()) {
    for (const Json& group : types->items()) {
      int64_t repeats = 0;
      if (group.items().size() != 2 || !group.items()[0].is_array() || !group.items()[1].as_integer(&repeats) || repeats < 0 ||
          repeats > a->layers) {
        config.fail(failure(Code::invalid_argument, "config.json: attention_types must be a list of [[kinds], repeats]."));
        return;
      }
      for (int64_t i = 0; i < repeats; ++i) {
        for (const Json& kind : group.items()[0].items()) append(kind);
      }
    }
  } else {
    for (int64_t i = 0; i < a->layers; ++i) a->windows.push_back(i % 2 == 0 ? 0 : window);
  }
  if (static_cast<int64_t>(a->windows.size()) != a->layers) {
    config.fail(failure(Code::invalid_argument, "config.json: the attention kinds cover %zu layers, but num_layers is %lld.",
                        a->windows.size(), static_cast<long long>(a->layers)));
  }
}

void read_gpt_neo(ConfigReader& config, Architecture* a) {
  a->width = config.size("hidden_size");
  a->layers = config.layers("num_layers");
  a->heads = config.size("num_heads");
  a->context = config.size("max_position_embeddings");
  a->inner = config.size("intermediate_size", 4 * a->width);
  a->activation = config.activation("activation_function", "gelu_new");
  a->epsilon = static_cast<float>(config.number("layer_norm_epsilon", 1e-5));
  a->kv_heads = a->heads;
  a->head_dim = config.head_dim(a->width, a->heads);
  a->attention_scale = 1;
  a->layout = MS_LAYOUT_OUT_IN;
  a->qkv = QkvStorage::separate;
  a->qkv_bias = false;
  read_gpt_neo_windows(config, a);
  a->tied_head = config.flag("tie_word_embeddings", true);
}

void read_gpt_neox(ConfigReader& config, Architecture* a) {
  a->width = config.size("hidden_size");
  a->layers = config.layers("num_hidden_layers");
  a->heads = config.size("num_attention_heads");
  a->context = config.size("max_position_embeddings");
  a->inner = config.size("intermediate_size");
  a->activation = config.activation("hidden_act", "gelu");
  a->epsilon = static_cast<float>(config.number("layer_norm_eps", 1e-5));
  a->kv_heads = a->heads;
  a->head_dim = config.head_dim(a->width, a->heads);
  a->attention_scale = 1 / std::sqrt(static_cast<float>(a->head_dim));
  a->layout = MS_LAYOUT_OUT_IN;
  a->qkv = QkvStorage::per_head;
  a->qkv_bias = a->out_bias = config.flag("attention_bias", true);
  a->windows.assign(static_cast<size_t>(a->layers), 0);
  a->learned_positions = false;
  read_rotary(config, "rotary_emb_base", "rotary_pct", 0.25, a);
  a->parallel_residual = config.flag("use_parallel_residual", true);
  a->tied_head = config.flag("tie_word_embeddings", false);
}

constexpr Family kFamilies[] = {
    {.name = "gpt2",
     .prefix = "transformer.",
     .token_embedding = "wte",
     .position_embedding = "wpe",
     .block = "h.",
     .norm1 = "ln_1",
     .norm2 = "ln_2",
     .qkv = {"attn.c_attn", "", ""},
     .attention_out = "attn.c_proj",
     .mlp_in = "mlp.c_fc",
     .mlp_out = "mlp.c_proj",
     .final_norm = "ln_f",
     .head = "lm_head",
     .old_buffers = {"attn.bias", "attn.masked_bias", ""},
     .read = read_gpt2},
    {.name = "gpt_neo",
     .prefix = "transformer.",
     .token_embedding = "wte",
     .position_embedding = "wpe",
     .block = "h.",
     .norm1 = "ln_1",
     .norm2 = "ln_2",
     .qkv = {"attn.attention.q_proj", "attn.attention.k_proj", "attn.attention.v_proj"},
     .attention_out = "attn.attention.out_proj",
     .mlp_in = "mlp.c_fc",
     .mlp_out = "mlp.c_proj",
     .final_norm = "ln_f",
     .head = "lm_head",
     .old_buffers = {"attn.attention.bias", "attn.attention.masked_bias", ""},
     .read = read_gpt_neo},
    {.name = "gpt_neox",
     .prefix = "gpt_neox.",
     .token_embedding = "embed_in",
     .block = "layers.",
     .norm1 = "input_layernorm",
     .norm2 = "post_attention_layernorm",
     .qkv = {"attention.query_key_value", "", ""},
     .attention_out = "attention.dense",
     .mlp_in = "mlp.dense_h_to_4h",
     .mlp_out = "mlp.dense_4h_to_h",
     .final_norm = "final_layer_norm",
     .head = "embed_out",
     .old_buffers = {"attention.bias", "attention.masked_bias", "attention.rotary_emb.inv_freq"},
     .read = read_gpt_neox},
};

}  // namespace

std::span<const Family> gpt_families() { return kFamilies; }

}  // namespace mendset
