#include "model/config_reader.h"

#include <string_view>

#include "mendset/backend.h"

namespace mendset {

namespace {

constexpr int64_t kMaxDimension = int64_t{1} << 24, kMaxLayers = 1 << 12;  // far above any model; products stay within 64 bits

struct NamedActivation {
  const char* name;
  int32_t kind;
};
constexpr NamedActivation kActivations[] = {
    {"gelu_new", MS_ACTIVATION_GELU_TANH},
    {"gelu_pytorch_tanh", MS_ACTIVATION_GELU_TANH},
    {"gelu_fast", MS_ACTIVATION_GELU_TANH},
    {"gelu", MS_ACTIVATION_GELU_ERF},
    {"gelu_python", MS_ACTIVATION_GELU_ERF},
    {"relu", MS_ACTIVATION_RELU},
    {"silu", MS_ACTIVATION_SILU},
    {"swish", MS_ACTIVATION_SILU},
    {"tanh", MS_ACTIVATION_TANH},
};

// Keys that transformers and its users write and that change nothing in evaluation: dropouts, token ids, generation, bookkeeping.
constexpr std::string_view kHarmless[] = {
    "architectures", "bos_token_id", "pad_token_id", "sep_token_id", "cls_token_id", "mask_token_id", "unk_token_id", "dtype",
    "torch_dtype", "use_cache", "initializer_factor", "name_or_path", "task_specific_params", "tokenizer_class", "torchscript",
    "use_bfloat16", "pruned_heads", "is_encoder_decoder", "tie_encoder_decoder", "chunk_size_feed_forward",
    "cross_attention_hidden_size", "num_labels", "id2label", "label2id", "problem_type", "finetuning_task", "prefix",
    "gradient_checkpointing", "max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups",
    "diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty",
    "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences", "forced_bos_token_id",
    "forced_eos_token_id", "remove_invalid_values", "exponential_decay_length_penalty", "suppress_tokens",
    "begin_suppress_tokens", "decoder_start_token_id", "return_dict", "return_dict_in_generate", "pretraining_tp",
    "is_llama_config", "attn_implementation", "tf_legacy_loss", "model_max_length", "seq_length", "directionality",
    "predict_special_tokens", "n_special", "tie_word_embeddings",
    // read by families only when another key does not stand in for them
    "n_ctx", "attention_types", "sliding_window", "max_window_layers", "rope_parameters"};
constexpr std::string_view kHarmlessBeginnings[] = {"_", "summary_", "output_", "pooler_", "transformers", "unsloth"};

bool is_harmless(std::string_view key) {
  if (key.find("dropout") != key.npos || key.find("pdrop") != key.npos) return true;
  for (const std::string_view harmless : kHarmless) {
    if (key == harmless) return true;
  }
  for (const std::string_view beginning : kHarmlessBeginnings) {
    if (key.starts_with(beginning)) return true;
  }
  return false;
}

bool is_off(const Json& value) {
  if (value.is_boolean()) return !value.as_boolean();
  if (value.is_array()) return value.items().empty();
  if (value.is_string()) return value.as_string().empty();
  return value.is_null();
}

}  // namespace

const Json* ConfigReader::find(const char* key) const {
  read_.insert(key);
  const Json* value = config_.find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

int64_t ConfigReader::size(const char* key, int64_t fallback) {
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

int64_t ConfigReader::layers(const char* key) {
  const int64_t number = size(key);
  if (number <= kMaxLayers) return number;
  fail(failure(Code::invalid_argument, "config.json: %s must be at most %lld, got %lld.", key, static_cast<long long>(kMaxLayers),
               static_cast<long long>(number)));
  return 1;
}

int64_t ConfigReader::index(const char* key, int64_t fallback) {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  int64_t number = 0;
  if (!value->as_integer(&number) || number < 0 || number > kMaxDimension) {
    fail(failure(Code::invalid_argument, "config.json: %s must be an integer from 0 to 2^24, got %.40s.", key,
                 value->write(0).c_str()));
    return fallback;
  }
  return number;
}

double ConfigReader::number(const char* key, double fallback) {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_number()) {
    fail(failure(Code::invalid_argument, "config.json: %s must be a number, got %.40s.", key, value->write(0).c_str()));
    return fallback;
  }
  return value->as_number();
}

bool ConfigReader::flag(const char* key, bool fallback) {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) {
    fail(failure(Code::invalid_argument, "config.json: %s must be true or false, got %.40s.", key, value->write(0).c_str()));
    return fallback;
  }
  return value->as_boolean();
}

void ConfigReader::refuse(const char* key) {
  if (flag(key, false)) fail(failure(Code::unsupported, "config.json: %s is not supported; expected false.", key));
}

int64_t ConfigReader::head_dim(int64_t width, int64_t heads) {
  if (width % heads == 0) return width / heads;
  fail(failure(Code::invalid_argument, "config.json: the width %lld is not a multiple of the %lld heads.",
               static_cast<long long>(width), static_cast<long long>(heads)));
  return 1;
}

int32_t ConfigReader::activation(const char* key, const char* fallback) {
  const Json* value = find(key);
  const std::string name = value == nullptr ? fallback : value->as_string();
  std::string known;
  for (const NamedActivation& each : kActivations) {
    if (name == each.name) return each.kind;
    known += (known.empty() ? "" : ", ") + std::string(each.name);
  }
  fail(failure(Code::unsupported, "config.json: %s is \"%.40s\"; supported are %s.", key, name.c_str(), known.c_str()));
  return MS_ACTIVATION_GELU_TANH;
}

void ConfigReader::refuse_unread(const char* family) {
  std::string known;
  for (const std::string& key : read_) known += (known.empty() ? "" : ", ") + key;
  for (const JsonMember& member : config_.members()) {
    if (read_.count(member.key) != 0 || is_harmless(member.key) || is_off(member.value)) continue;
    fail(
        failure(Code::unsupported,
                "config.json: the key %.60s is not known and may change what a %s model computes; known are %s. Remove it if the "
                "model does not depend on it.",
                member.key.c_str(), family, known.c_str()));
    return;
  }
}

void ConfigReader::fail(Status status) {
  if (status_.ok()) status_ = std::move(status);
}

}  // namespace mendset
