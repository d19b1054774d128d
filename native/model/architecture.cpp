#include "model/architecture.h"

#include "model/family.h"

namespace mendset {

namespace {

// Names of the families that can be used so, as the end of a sentence.
std::string supported(bool encoders) {
  std::string text;
  for (const std::span<const Family> families : {gpt_families(), llama_families(), encoder_families()}) {
    for (const Family& family : families) {
      if (family.encoder == encoders) text += (text.empty() ? "" : ", ") + std::string(family.name);
    }
  }
  return text;
}

const Family* find_family(const std::string& name) {
  for (const std::span<const Family> families : {gpt_families(), llama_families(), encoder_families()}) {
    for (const Family& family : families) {
      if (name == family.name) return &family;
    }
  }
  return nullptr;
}

}  // namespace

Status check_language_model(const Architecture& architecture) {
  if (architecture.head == ModelHead::language_model) return {};
  return failure(Code::invalid_argument, "A %s encoder has no next-token head; expected a language model.",
                 architecture.family->name);
}

Status parse_architecture(const Json& config, ModelHead head, Architecture* out) {
  if (!config.is_object()) return failure(Code::invalid_argument, "config.json must hold an object.");
  const bool encoder = head != ModelHead::language_model;
  const Json* type = config.find("model_type");
  if (type == nullptr || !type->is_string()) {
    return failure(Code::invalid_argument, "config.json has no model_type; supported are %s.", supported(encoder).c_str());
  }
  const Family* family = find_family(type->as_string());
  if (family == nullptr || family->encoder != encoder) {
    return failure(Code::unsupported, "config.json: model_type \"%.60s\" is not supported as %s; supported are %s.",
                   type->as_string().c_str(), encoder ? "an encoder" : "a language model", supported(encoder).c_str());
  }
  *out = Architecture();
  out->family = family;
  out->head = head;
  ConfigReader reader(config);
  out->vocab = reader.size("vocab_size");
  family->read(reader, out);
  MS_TRY(reader.status());
  if (const double range = reader.number("initializer_range", 0.02); range >= 0)
    out->initializer_range = static_cast<float>(range);
  if (const Json* eos = reader.find("eos_token_id"); eos != nullptr) {
    const Json* one = eos->is_array() && !eos->items().empty() ? &eos->items()[0] : eos;
    if (!one->as_integer(&out->eos))
      return failure(Code::invalid_argument, "config.json: eos_token_id must be an integer or null.");
  }
  reader.find("model_type");
  reader.refuse_unread(family->name);
  return reader.status();
}

}  // namespace mendset
