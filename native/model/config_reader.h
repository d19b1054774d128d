// Reads values of a config.json by key, remembering the first failure so that a family reads as a plain list of fields.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>

#include "core/status.h"
#include "model/json.h"

namespace mendset {

class ConfigReader {
 public:
  explicit ConfigReader(const Json& config) : config_(config) {}

  // Null counts as absent.
  const Json* find(const char* key) const;
  // From 1 to 2^24. fallback < 0: required.
  int64_t size(const char* key, int64_t fallback = -1);
  int64_t layers(const char* key);
  // From 0 to 2^24.
  int64_t index(const char* key, int64_t fallback);
  double number(const char* key, double fallback);
  bool flag(const char* key, bool fallback);
  // A switch that must be off.
  void refuse(const char* key);
  // Width of a head where it is the model's width divided by the heads.
  int64_t head_dim(int64_t width, int64_t heads);
  // MS_ACTIVATION_*
  int32_t activation(const char* key, const char* fallback);

  // Refuses a key that nothing has asked for and that is not known to leave the computation as it is. Switches that are off
  // (null, false, empty) do no harm.
  void refuse_unread(const char* family);

  void fail(Status status);
  const Status& status() const { return status_; }

 private:
  const Json& config_;
  mutable std::set<std::string, std::less<>> read_;
  Status status_;
};

}  // namespace mendset
