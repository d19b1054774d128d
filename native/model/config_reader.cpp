#include "model/config_reader.h"

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

}  // namespace

const Json* ConfigReader::find(const char* key) const {
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

void ConfigReader::fail(Status status) {
  if (status_.ok()) status_ = std::move(status);
}

}  // namespace mendset
