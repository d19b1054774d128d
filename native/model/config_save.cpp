// The config.json beside saved weights.
#include <string>
#include <utility>
#include <vector>

#include "model/architecture.h"
#include "model/family.h"

namespace mendset {

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
  if (std::string(a.family->name) == "gpt2") {
    out.set("n_positions", Json::integer(a.context));
    out.set("n_ctx", Json::integer(a.context));
  }
  return out;
}

}  // namespace mendset
