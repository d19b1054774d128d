#include "addon/score_binding.h"

#include <limits>
#include <utility>

#include "addon/arguments.h"
#include "addon/task_object.h"
#include "select/ccs.h"
#include "select/memory_estimate.h"
#include "select/permutation.h"
#include "select/top_scores.h"

namespace mendset::addon {
namespace {

constexpr int64_t kLargestCount = std::numeric_limits<int32_t>::max();

bool read_end(const Napi::Value& value, const char* name, bool* from_high) {
  std::string end;
  if (!read_string(value, name, &end)) return false;
  *from_high = end == "high";
  if (*from_high || end == "low") return true;
  throw_status(value.Env(), failure(Code::invalid_argument, "Expected 'high' or 'low' for %s but received '%s'.", name, end.c_str()));
  return false;
}

bool read_threads(const Napi::Value& value, int* out) {
  int64_t threads = 0;
  if (!read_integer(value, "threads", 0, 1024, &threads)) return false;
  *out = static_cast<int>(threads);
  return true;
}

Napi::Value ccs_result(Napi::Env env, CcsResult result) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("firstBad", static_cast<double>(result.first_bad));
  out.Set("finite", static_cast<double>(result.finite));
  out.Set("removed", static_cast<double>(result.removed));
  out.Set("quotas", copied<Napi::Int32Array>(env, result.quotas));
  out.Set("indices", handed_over<Napi::Int32Array>(env, std::move(result.indices)));
  return out;
}

// scores, labels (out), request, threads
Napi::Value ccs(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Pins pins;
  std::span<double> scores;
  std::span<int32_t> labels;
  Napi::Object request;
  CcsOptions options;
  if (!read_array(info[0], "scores", -1, pins, &scores) || !read_array(info[1], "labels", static_cast<int64_t>(scores.size()), pins, &labels) ||
      !read_object(info[2], "the request", &request) || !read_integer(request.Get("budget"), "budget", 0, kLargestCount, &options.budget) ||
      !read_number(request.Get("beta"), "beta", &options.beta) || !read_end(request.Get("hard"), "hard", &options.hard_high) ||
      !read_integer(request.Get("strata"), "strata", 1, 1'000'000, &options.strata) || !read_boolean(request.Get("dropBad"), "dropBad", &options.drop_bad) ||
      !read_uint64(request.Get("seed"), "seed", &options.seed) || !read_threads(info[3], &options.threads)) {
    return env.Undefined();
  }
  std::unique_ptr<Ccs> task;
  if (!succeeded(env, Ccs::create(scores, options, labels, &task))) return env.Undefined();
  Ccs* const finished = task.get();
  return TaskObject::create(env, std::move(task), std::move(pins), [finished](Napi::Env e) { return ccs_result(e, finished->take_result()); });
}

Napi::Value top_scores_result(Napi::Env env, TopScoresResult result) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("firstBad", static_cast<double>(result.first_bad));
  out.Set("finite", static_cast<double>(result.finite));
  out.Set("indices", handed_over<Napi::Int32Array>(env, std::move(result.indices)));
  return out;
}

// scores, request, threads
Napi::Value top_scores(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Pins pins;
  std::span<double> scores;
  Napi::Object request;
  TopScoresOptions options;
  if (!read_array(info[0], "scores", -1, pins, &scores) || !read_object(info[1], "the request", &request) ||
      !read_integer(request.Get("count"), "count", 0, kLargestCount, &options.count) || !read_end(request.Get("end"), "end", &options.from_high) ||
      !read_boolean(request.Get("dropBad"), "dropBad", &options.drop_bad) || !read_threads(info[2], &options.threads)) {
    return env.Undefined();
  }
  std::unique_ptr<TopScores> task;
  if (!succeeded(env, TopScores::create(scores, options, &task))) return env.Undefined();
  TopScores* const finished = task.get();
  return TaskObject::create(env, std::move(task), std::move(pins), [finished](Napi::Env e) { return top_scores_result(e, finished->take_result()); });
}

// seed, stream, sub, n, count
Napi::Value permutation(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  uint64_t seed = 0;
  int64_t stream = 0, sub = 0, n = 0, count = 0;
  std::unique_ptr<PermutationPrefix> task;
  if (!read_uint64(info[0], "seed", &seed) || !read_integer(info[1], "stream", 0, 0xffffffff, &stream) ||
      !read_integer(info[2], "sub", 0, 0xffffffff, &sub) || !read_integer(info[3], "n", 0, kLargestCount, &n) ||
      !read_integer(info[4], "count", 0, kLargestCount, &count) ||
      !succeeded(env, PermutationPrefix::create(RandomStream(seed, static_cast<uint32_t>(stream), static_cast<uint32_t>(sub)), n, count, &task))) {
    return env.Undefined();
  }
  PermutationPrefix* const finished = task.get();
  return TaskObject::create(env, std::move(task), {}, [finished](Napi::Env e) { return handed_over<Napi::Int32Array>(e, finished->take_result()); });
}

// kind, n, d, k
Napi::Value memory(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string kind;
  int64_t n = 0, d = 0, k = 0;
  double bytes = 0;
  if (!read_string(info[0], "kind", &kind) || !read_integer(info[1], "n", 1, kLargestCount, &n) || !read_integer(info[2], "d", 1, kLargestCount, &d) ||
      !read_integer(info[3], "k", 0, kLargestCount, &k) || !succeeded(env, selection_memory(kind, n, d, k, &bytes))) {
    return env.Undefined();
  }
  return Napi::Number::New(env, bytes);
}

}  // namespace

void register_scores(Napi::Env env, Napi::Object exports) {
  exports.Set("ccsTask", Napi::Function::New<ccs>(env, "ccsTask"));
  exports.Set("topScoresTask", Napi::Function::New<top_scores>(env, "topScoresTask"));
  exports.Set("permutationTask", Napi::Function::New<permutation>(env, "permutationTask"));
  exports.Set("selectionMemory", Napi::Function::New<memory>(env, "selectionMemory"));
}

}  // namespace mendset::addon
