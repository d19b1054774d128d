#include "addon/strata_binding.h"

#include <algorithm>
#include <limits>

#include "addon/arguments.h"
#include "select/score_strata.h"

namespace mendset::addon {
namespace {

constexpr int64_t kLargestCount = std::numeric_limits<int32_t>::max();

Napi::Value int32_copy(Napi::Env env, const std::vector<int32_t>& values) {
  Napi::Int32Array array = Napi::Int32Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

// scores, removed, end, strata, members (out), labels (out) -> ends
Napi::Value strata(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Pins pins;
  ScoreStrataOptions options;
  std::span<double> scores;
  std::span<int32_t> members, labels;
  std::string end;
  std::vector<int32_t> ends;
  if (!read_array(info[0], "scores", -1, pins, &scores) || !read_integer(info[1], "removed", 0, kLargestCount, &options.removed) ||
      !read_string(info[2], "end", &end) || !read_integer(info[3], "strata", 1, 1'000'000, &options.count) ||
      !read_array(info[4], "members", -1, pins, &members) || !read_array(info[5], "labels", -1, pins, &labels)) {
    return env.Undefined();
  }
  options.from_high = end == "high";
  if (!succeeded(env, score_strata(scores, options, members, labels, &ends))) return env.Undefined();
  return int32_copy(env, ends);
}

// members (shuffled in place), ends, quotas, seed, stream -> indices
Napi::Value draw(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Pins pins;
  std::span<int32_t> members, ends, quotas;
  uint64_t seed = 0;
  int64_t stream = 0;
  std::vector<int32_t> indices;
  if (!read_array(info[0], "members", -1, pins, &members) || !read_array(info[1], "ends", -1, pins, &ends) ||
      !read_array(info[2], "quotas", -1, pins, &quotas) || !read_uint64(info[3], "seed", &seed) ||
      !read_integer(info[4], "stream", 0, 0xffffffff, &stream) ||
      !succeeded(env, draw_within(RandomStream(seed, static_cast<uint32_t>(stream)), members, ends, quotas, &indices))) {
    return env.Undefined();
  }
  return int32_copy(env, indices);
}

}  // namespace

void register_strata(Napi::Env env, Napi::Object exports) {
  exports.Set("scoreStrata", Napi::Function::New<strata>(env, "scoreStrata"));
  exports.Set("drawWithin", Napi::Function::New<draw>(env, "drawWithin"));
}

}  // namespace mendset::addon
