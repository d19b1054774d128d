#include "model/architecture.h"

#include <cmath>

namespace mendset {

namespace {

constexpr FamilyNames kFamilies[] = {
    {"gpt2",
     "transformer.",
     true,
     "wte",
     "wpe",
     "h.",
     "ln_1",
     "ln_2",
     {"attn.c_attn", "", ""},
     "attn.c_proj",
     "mlp.c_fc",
     "mlp.c_proj",
     "ln_f",
     "lm_head",
     {"attn.bias", "attn.masked_bias", ""}},
    {"gpt_neo",
     "transformer.",
     true,
     "wte",
     "wpe",
     "h.",
     "ln_1",
     "ln_2",
     {"attn.attention.q_proj", "attn.attention.k_proj", "attn.attention.v_proj"},
     "attn.attention.out_proj",
     "mlp.c_fc",
     "mlp.c_proj",
     "ln_f",
     "lm_head",
     {"attn.attention.bias", "attn.attention.masked_bias", ""}},
    {"gpt_neox",
     "gpt_neox.",
     true,
     "embed_in",
     "",
     "layers.",
     "input_layernorm",
     "post_attention_layernorm",
     {"attention.query_key_value", "", ""},
     "attention.dense",
     "mlp.dense_h_to_4h",
     "mlp.dense_4h_to_h",
     "final_layer_norm",
     "embed_out",
     {"attention.bias", "attention.masked_bias", "attention.rotary_emb.inv_freq"}},
};

constexpr int64_t kMaxDimension = int64_t{1} << 24, kMaxLayers = 1 << 12;  // far above any model; products stay within 64 bits

// Reads values by key, remembering the first failure so that a family reads as a plain list of fields.
class ConfigReader {
 public:
  explicit ConfigReader(const Json& config) : config_(config) {}

  // Null counts as absent.
  const Json* find(const char* key) const {
    const Json* value = config_.find(key);
    return value == nullptr || value->is_null() ? nullptr : value;
  }
  // fallback < 0: required.
  int64_t size(const char* key, int64_t fallback = -1) {
    const Json* value = find(key);
    if (value == nullptr) {
      if (fallback >= 0) return fallback;
      fail(failure(Code::invalid_argument, "config.json has no %s.", key));
      return 1;
    }
    int64_t number = 0;
    if (!value->as_integer(&number) || number < 1 || number > kMaxDimension) {
      fail(failure(Code::invalid_argument, "config.json: %s must be an integer from 1 to 2^24, got %.40s.", key,
                   value->write(0).c_str()));
      return 1;
    }
    return number;
  }
  double number(const char* key, double fallback) {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_number()) {
      fail(failure(Code::invalid_argument, "config.json: %s must be a number, got %.40s.", key, value->write(0).c_str()));
      return fallback;
    }
    return value->as_number();
  }
  bool flag(const char* key, bool fallback) {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_boolean()) {
      fail(failure(Code::invalid_argument, "config.json: %s must be true or false, got %.40s.", key, value->write(0).c_str()));
      return fallback;
    }
    return value->as_boolean();
  }
  void refuse(const char* key) {
    if (flag(key, false)) fail(failure(Code::unsupported, "config.json: %s is not supported; expected false.", key));
  }
  int64_t layers(const char* key) {
    const int64_t number = size(key);
    if (number <= kMaxLayers) return number;
    fail(failure(Code::invalid_argument, "config.json: %s must be at most %lld, got %lld.", key,
                 static_cast<long long>(kMaxLayers), static_cast<long long>(number)));
    return 1;
  }
  int32_t activation(const char* key, const char* fallback) {
    const Json* value = find(key);
    const std::string name = value == nullptr ? fallback : value->as_string();
    if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast") return MS_ACTIVATION_GELU_TANH;
    if (name == "gelu" || name == "gelu_python") return MS_ACTIVATION_GELU_ERF;
    fail(failure(Code::unsupported,
                 "config.json: %s is \"%.40s\"; supported are gelu_new, gelu_pytorch_tanh, gelu_fast, gelu and gelu_python.", key,
                 name.c_str()));
    return MS_ACTIVATION_GELU_TANH;
  }
  void fail(Status status) {
    if (status_.ok()) status_ = std::move(status);
  }
  const Status& status() const { return status_; }

 private:
  const Json& config_;
  Status status_;
};

void read_gpt2(ConfigReader& config, Architecture* a) {
  a->width = config.size("n_embd");
  a->layers = config.layers("n_layer");
  a->heads = config.size("n_head");
  a->context = config.find("n_positions") != nullptr ? config.size("n_positions") : config.size("n_ctx");
  a->inner = config.size("n_inner", 4 * a->width);
  a->activation = config.activation("activation_function", "gelu_new");
  a->epsilon = static_cast<float>(config.number("layer_norm_epsilon", 1e-5));
  config.refuse("reorder_and_upcast_attn");
  config.refuse("scale_attn_by_inverse_layer_idx");
  config.refuse("add_cross_attention");
  a->attention_scale = config.flag("scale_attn_weights", true) ? 1 / std::sqrt(static_cast<float>(a->width / a->heads)) : 1.0f;
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
  a->attention_scale = 1 / std::sqrt(static_cast<float>(a->width / a->heads));
  a->layout = MS_LAYOUT_OUT_IN;
  a->qkv = QkvStorage::per_head;
  a->qkv_bias = a->out_bias = config.flag("attention_bias", true);
  a->windows.assign(static_cast<size_t>(a->layers), 0);
  a->learned_positions = false;
  double fraction = config.number("rotary_pct", 0.25), base = config.number("rotary_emb_base", 10000);
  if (const Json* rope = config.find("rope_parameters"); rope != nullptr) {
    ConfigReader inner(*rope);
    fraction = inner.number("partial_rotary_factor", fraction);
    base = inner.number("rope_theta", base);
    const Json* type = inner.find("rope_type");
    if (type != nullptr && type->as_string() != "default") {
      config.fail(failure(Code::unsupported, "config.json: rope_type \"%.40s\" is not supported; expected \"default\".",
                          type->as_string().c_str()));
    }
    config.fail(inner.status());
  }
  if (config.find("rope_scaling") != nullptr)
    config.fail(failure(Code::unsupported, "config.json: rope_scaling is not supported; expected null."));
  if (!(fraction >= 0 && fraction <= 1) || !(base > 0)) {
    config.fail(failure(Code::invalid_argument,
                        "config.json: the rotary fraction must lie in [0, 1] and its base above 0, got %g and %g.", fraction,
                        base));
    fraction = 0;
  }
  a->rotary_dims = static_cast<int32_t>(static_cast<double>(a->width / a->heads) * fraction);
  a->rotary_base = static_cast<float>(base);
  if (a->rotary_dims % 2 != 0)
    config.fail(
        failure(Code::unsupported, "config.json: an odd number of rotary dimensions (%d) is not supported.", a->rotary_dims));
  a->parallel_residual = config.flag("use_parallel_residual", true);
  a->tied_head = config.flag("tie_word_embeddings", false);
}

}  // namespace

Status parse_architecture(const Json& config, Architecture* out) {
  if (!config.is_object()) return failure(Code::invalid_argument, "config.json must hold an object.");
  const Json* type = config.find("model_type");
  if (type == nullptr || !type->is_string())
    return failure(Code::invalid_argument, "config.json has no model_type; supported are gpt2, gpt_neo and gpt_neox.");
  *out = Architecture();
  for (const FamilyNames& family : kFamilies) {
    if (type->as_string() == family.family) out->names = &family;
  }
  if (out->names == nullptr) {
    return failure(Code::unsupported,
                   "config.json: model_type \"%.60s\" is not supported; supported are gpt2, gpt_neo and gpt_neox.",
                   type->as_string().c_str());
  }
  ConfigReader reader(config);
  out->vocab = reader.size("vocab_size");
  if (out->names == &kFamilies[0])
    read_gpt2(reader, out);
  else if (out->names == &kFamilies[1])
    read_gpt_neo(reader, out);
  else
    read_gpt_neox(reader, out);
  MS_TRY(reader.status());
  if (out->width % out->heads != 0) {
    return failure(Code::invalid_argument, "config.json: the width %lld is not a multiple of the %lld heads.",
                   static_cast<long long>(out->width), static_cast<long long>(out->heads));
  }
  if (const double range = reader.number("initializer_range", 0.02); range >= 0)
    out->initializer_range = static_cast<float>(range);
  if (const Json* eos = reader.find("eos_token_id"); eos != nullptr) {
    const Json* one = eos->is_array() && !eos->items().empty() ? &eos->items()[0] : eos;
    if (!one->as_integer(&out->eos))
      return failure(Code::invalid_argument, "config.json: eos_token_id must be an integer or null.");
  }
  return reader.status();
}

Json config_to_save(const Json& config, const Architecture& a, const std::string& dtype) {
  Json out = config;
  const std::string type = dtype == "BF16" ? "bfloat16" : "float32";
  out.set("dtype", Json::string(type));
  out.set("torch_dtype", Json::string(type));
  if (!a.learned_positions) {
    // transformers before 5 reads only the old keys and silently assumes 0.25 without them; 5 reads both.
    const double fraction = static_cast<double>(a.rotary_dims) / static_cast<double>(a.head_dim());
    const Json* rope = config.find("rope_parameters");
    Json parameters = rope != nullptr && rope->is_object() ? *rope : Json::object();
    const Json* stored_fraction = parameters.find("partial_rotary_factor");
    if (stored_fraction == nullptr) stored_fraction = config.find("rotary_pct");
    const Json* stored_base = parameters.find("rope_theta");
    if (stored_base == nullptr) stored_base = config.find("rotary_emb_base");
    const Json kept_fraction = stored_fraction != nullptr ? *stored_fraction : Json::number(fraction);
    const Json kept_base = stored_base != nullptr ? *stored_base : Json::number(static_cast<double>(a.rotary_base));
    parameters.set("partial_rotary_factor", kept_fraction);
    parameters.set("rope_theta", kept_base);
    parameters.set("rope_type", Json::string("default"));
    out.set("rope_parameters", parameters);
    out.set("rotary_pct", kept_fraction);
    out.set("rotary_emb_base", kept_base);
  }
  if (a.qkv == QkvStorage::separate) {
    std::vector<Json> layers;
    for (const int32_t window : a.windows) layers.push_back(Json::string(window > 0 ? "local" : "global"));
    const Json* types = config.find("attention_types");
    if (types == nullptr || types->is_null())
      out.set("attention_types", Json::array({Json::array({Json::array(layers), Json::integer(1)})}));
    out.set("attention_layers", Json::array(std::move(layers)));
  }
  if (a.names->prefix_optional && std::string(a.names->family) == "gpt2") {
    out.set("n_positions", Json::integer(a.context));
    out.set("n_ctx", Json::integer(a.context));
  }
  return out;
}

}  // namespace mendset
