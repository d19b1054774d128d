// The config.json beside saved weights.
#include <string>
#include <utility>
#include <vector>

#include "model/architecture.h"
#include "model/family.h"

namespace mendset {

namespace {

const Json* find_value(const Json& object, const char* key) {
  const Json* value = object.find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

// transformers before 5 reads only the old keys (of GPT-NeoX it silently assumes a fraction of 0.25 without them), 5 reads both.
void set_rotary(const Json& config, bool neox, Json* out) {
  const char* base_key = neox ? "rotary_emb_base" : "rope_theta";
  const Json* source = find_value(config, "rope_scaling");
  if (source == nullptr) source = find_value(config, "rope_parameters");
  Json parameters = source != nullptr ? *source : Json::object();
  // The first of the places that have it, else the default.
  const auto settle = [&](const char* key, const char* old_key, Json fallback) {
    if (find_value(parameters, key) != nullptr) return;
    const Json* old = find_value(config, old_key);
    parameters.set(key, old != nullptr ? *old : std::move(fallback));
  };
  settle("rope_theta", base_key, Json::number(10000));
  if (neox)
    settle("partial_rotary_factor", find_value(config, "rotary_pct") ? "rotary_pct" : "partial_rotary_factor",
           Json::number(0.25));
  if (find_value(parameters, "rope_type") == nullptr) {
    const Json* type = find_value(parameters, "type");
    parameters.set("rope_type", type != nullptr ? *type : Json::string("default"));
  }
  out->set(base_key, *parameters.find("rope_theta"));
  if (neox) out->set("rotary_pct", *parameters.find("partial_rotary_factor"));
  const bool scaled = parameters.find("rope_type")->as_string() != "default";
  out->set("rope_scaling", scaled ? parameters : Json());
  out->set("rope_parameters", std::move(parameters));
}

}  // namespace

Json config_to_save(const Json& config, const Architecture& a, const std::string& dtype) {
  Json out = config;
  const std::string type = dtype == "BF16" ? "bfloat16" : dtype == "F16" ? "float16" : "float32", family = a.family->name;
  out.set("dtype", Json::string(type));
  out.set("torch_dtype", Json::string(type));
  if (!a.learned_positions) set_rotary(config, family == "gpt_neox", &out);
  if (family == "gpt_neo") {
    std::vector<Json> layers;
    for (const int32_t window : a.windows) layers.push_back(Json::string(window > 0 ? "local" : "global"));
    const Json* types = config.find("attention_types");
    if (types == nullptr || types->is_null())
      out.set("attention_types", Json::array({Json::array({Json::array(layers), Json::integer(1)})}));
    out.set("attention_layers", Json::array(std::move(layers)));
  }
  if (family == "gpt2") {
    out.set("n_positions", Json::integer(a.context));
    out.set("n_ctx", Json::integer(a.context));
  }
  return out;
}

}  // namespace mendset
