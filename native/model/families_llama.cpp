// Llama, Mistral, Qwen2 and Qwen3: RMS norms, gated MLP, grouped queries, rotary positions.
#include <cmath>

#include "model/family.h"

namespace mendset {

namespace {

void read_llama_like(ConfigReader& config, Architecture* a) {
  a->width = config.size("hidden_size");
  a->layers = config.layers("num_hidden_layers");
  a->heads = config.size("num_attention_heads");
  a->kv_heads = config.size("num_key_value_heads", a->heads);
  if (a->heads % a->kv_heads != 0) {
    config.fail(failure(Code::invalid_argument,
                        "config.json: num_attention_heads (%lld) must be a multiple of num_key_value_heads (%lld).",
                        static_cast<long long>(a->heads), static_cast<long long>(a->kv_heads)));
  }
  a->head_dim = config.find("head_dim") != nullptr ? config.size("head_dim") : config.head_dim(a->width, a->heads);
  a->context = config.size("max_position_embeddings");
  a->inner = config.size("intermediate_size");
  a->activation = config.activation("hidden_act", "silu");
  a->norm_kind = MS_NORM_RMS;
  a->epsilon = static_cast<float>(config.number("rms_norm_eps", 1e-6));
  a->attention_scale = 1 / std::sqrt(static_cast<float>(a->head_dim));
  a->layout = MS_LAYOUT_OUT_IN;
  a->qkv = QkvStorage::separate;
  a->gated_mlp = true;
  a->mlp_bias = a->qkv_bias = a->out_bias = false;
  a->tied_head = config.flag("tie_word_embeddings", false);
  config.refuse("rope_interleaved");
  read_rotary(config, "rope_theta", nullptr, 1, a);
  a->windows.assign(static_cast<size_t>(a->layers), 0);
}

void read_llama(ConfigReader& config, Architecture* a) {
  read_llama_like(config, a);
  a->qkv_bias = a->out_bias = config.flag("attention_bias", false);
  a->mlp_bias = config.flag("mlp_bias", false);
}

void read_mistral(ConfigReader& config, Architecture* a) {
  read_llama_like(config, a);
  if (config.find("sliding_window") != nullptr)
    a->windows.assign(static_cast<size_t>(a->layers), static_cast<int32_t>(config.size("sliding_window")));
}

// layer_types names each block's attention; without it the blocks from max_window_layers on slide.
void read_qwen_windows(ConfigReader& config, Architecture* a) {
  const bool sliding = config.flag("use_sliding_window", false) && config.find("sliding_window") != nullptr;
  const int32_t window = sliding ? static_cast<int32_t>(config.size("sliding_window")) : 0;
  if (const Json* types = config.find("layer_types"); types != nullptr) {
    if (!types->is_array() || types->items().size() != a->windows.size()) {
      config.fail(failure(Code::invalid_argument, "config.json: layer_types must name the attention of all %lld blocks.",
                          static_cast<long long>(a->layers)));
      return;
    }
    for (size_t b = 0; b < a->windows.size(); ++b) {
      const std::string kind = types->items()[b].as_string();
      if (kind != "full_attention" && kind != "sliding_attention") {
        config.fail(failure(Code::unsupported,
                            "config.json: layer_types has \"%.40s\"; supported are \"full_attention\" and \"sliding_attention\".",
                            kind.c_str()));
      }
      if (kind != "sliding_attention") continue;
      if (!sliding) {
        config.fail(failure(Code::invalid_argument,
                            "config.json: layer_types has \"sliding_attention\", but use_sliding_window is not true."));
      }
      a->windows[b] = window;
    }
    return;
  }
  if (!sliding) return;
  const int64_t first = config.index("max_window_layers", 28);
  for (int64_t b = first; b < a->layers; ++b) a->windows[static_cast<size_t>(b)] = window;
}

void read_qwen2(ConfigReader& config, Architecture* a) {
  read_llama_like(config, a);
  a->qkv_bias = true;
  config.refuse("use_mrope");
  read_qwen_windows(config, a);
}

void read_qwen3(ConfigReader& config, Architecture* a) {
  read_llama_like(config, a);
  if (config.find("head_dim") == nullptr) config.fail(failure(Code::invalid_argument, "config.json has no head_dim."));
  a->qkv_bias = a->out_bias = config.flag("attention_bias", false);
  a->qk_norm = true;
  read_qwen_windows(config, a);
}

constexpr Family llama_like(const char* name, void (*read)(ConfigReader&, Architecture*)) {
  return {.name = name,
          .prefix = "model.",
          .token_embedding = "embed_tokens",
          .block = "layers.",
          .norm1 = "input_layernorm",
          .norm2 = "post_attention_layernorm",
          .qkv = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
          .attention_out = "self_attn.o_proj",
          .q_norm = "self_attn.q_norm",
          .k_norm = "self_attn.k_norm",
          .mlp_in = "mlp.gate_proj",
          .mlp_up = "mlp.up_proj",
          .mlp_out = "mlp.down_proj",
          .final_norm = "norm",
          .head = "lm_head",
          .old_buffers = {"self_attn.rotary_emb.inv_freq", "", ""},
          .read = read};
}

constexpr Family kFamilies[] = {llama_like("llama", read_llama), llama_like("mistral", read_mistral),
                                llama_like("qwen2", read_qwen2), llama_like("qwen3", read_qwen3)};

}  // namespace

std::span<const Family> llama_families() { return kFamilies; }

}  // namespace mendset
