#include "addon/select_binding.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "addon/arguments.h"
#include "addon/task_object.h"
#include "select/facility_location.h"
#include "select/k_center.h"
#include "select/k_means.h"
#include "select/neighbours.h"
#include "select/pca.h"

namespace mendset::addon {
namespace {

constexpr int64_t kLargestCount = std::numeric_limits<int32_t>::max();

// What every task of a matrix is asked with: (x, request, backend, threads), x = { data: Float32Array, rows, columns }.
struct Request {
  MatrixView x;
  Napi::Object options;
  std::shared_ptr<Backend> backend;
  Pins pins;
};

bool read_request(const Napi::CallbackInfo& info, Request* out) {
  Napi::Object matrix;
  std::span<float> data;
  if (!read_object(info[0], "the matrix", &matrix) || !read_integer(matrix.Get("rows"), "rows", 0, kLargestCount, &out->x.n) ||
      !read_integer(matrix.Get("columns"), "columns", 0, kLargestCount, &out->x.d) || !read_array(matrix.Get("data"), "data", out->x.n * out->x.d, out->pins, &data) ||
      !read_object(info[1], "the request", &out->options) || !open_backend(info[2], info[3], &out->backend)) {
    return false;
  }
  out->x.data = data.data();
  return true;
}

// Wraps a task that `create` made; its result is turned into an object by `describe` once it has finished.
template <typename T, typename Describe> Napi::Value start(Napi::Env env, const Status& created, std::unique_ptr<T>& task, Request& request, Describe describe) {
  if (!succeeded(env, created)) return env.Undefined();
  T* const finished = task.get();
  return TaskObject::create(env, std::move(task), std::move(request.pins), [finished, describe](Napi::Env e) -> Napi::Value { return describe(e, finished->take_result()); });
}

bool read_metric(const Napi::Value& value, Metric* out) {
  std::string name;
  if (!read_string(value, "metric", &name)) return false;
  if (name == "euclidean" || name == "cosine") {
    *out = name == "cosine" ? Metric::cosine : Metric::euclidean;
    return true;
  }
  throw_status(value.Env(), failure(Code::invalid_argument, "Expected 'euclidean' or 'cosine' for metric but received '%s'.", name.c_str()));
  return false;
}

// A property that may be left out.
bool read_optional_boolean(const Napi::Object& object, const char* name, bool* out) {
  const Napi::Value value = object.Get(name);
  return value.IsUndefined() || read_boolean(value, name, out);
}

Napi::Value k_means_result(Napi::Env env, KMeansResult result) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("k", static_cast<double>(result.k));
  out.Set("iterations", static_cast<double>(result.iterations));
  out.Set("restart", static_cast<double>(result.restart));
  out.Set("stop", result.stop == KMeansStop::labels_stable ? "labels-stable" : "iteration-limit");
  out.Set("inertia", result.inertia);
  out.Set("inertiaPerIteration", copied<Napi::Float64Array>(env, result.inertia_per_iteration));
  out.Set("centroids", handed_over<Napi::Float64Array>(env, std::move(result.centroids)));
  out.Set("sizes", copied<Napi::Int32Array>(env, result.sizes));
  out.Set("labels", handed_over<Napi::Int32Array>(env, std::move(result.labels)));
  out.Set("ownDistance", handed_over<Napi::Float64Array>(env, std::move(result.own_distance)));
  out.Set("refilled", static_cast<double>(result.refilled));
  out.Set("pairs", static_cast<double>(result.pairs));
  out.Set("filteredPairs", static_cast<double>(result.filtered));
  out.Set("computedDistances", static_cast<double>(result.distances));
  out.Set("secondLabels", handed_over<Napi::Int32Array>(env, std::move(result.second_labels)));
  out.Set("secondDistance", handed_over<Napi::Float64Array>(env, std::move(result.second_distance)));
  return out;
}

bool read_start(const Napi::Value& value, KMeansStart* out) {
  std::string name;
  if (value.IsUndefined()) return true;
  if (!read_string(value, "start", &name)) return false;
  if (name == "k-means++" || name == "k-means||") {
    *out = name == "k-means++" ? KMeansStart::greedy : KMeansStart::parallel;
    return true;
  }
  throw_status(value.Env(), failure(Code::invalid_argument, "Expected 'k-means++' or 'k-means||' for start but received '%s'.", name.c_str()));
  return false;
}

Napi::Value k_means(const Napi::CallbackInfo& info) {
  Request request;
  KMeansOptions options;
  std::span<double> given;
  if (!read_request(info, &request)) return info.Env().Undefined();
  const Napi::Object& asked = request.options;
  if (!read_integer(asked.Get("k"), "k", 1, kLargestCount, &options.k) ||
      !read_integer(asked.Get("maxIterations"), "maxIterations", 0, kLargestCount, &options.max_iterations) ||
      !read_integer(asked.Get("restarts"), "restarts", 1, kLargestCount, &options.restarts) || !read_uint64(asked.Get("seed"), "seed", &options.seed) ||
      !read_start(asked.Get("start"), &options.start) || !read_optional_boolean(asked, "spherical", &options.spherical) ||
      !read_optional_boolean(asked, "prune", &options.prune) || !read_optional_boolean(asked, "wantSecond", &options.want_second) ||
      !read_optional_boolean(asked, "renumber", &options.renumber)) {
    return info.Env().Undefined();
  }
  const Napi::Value centroids = asked.Get("centroids");
  if (!centroids.IsUndefined() && !read_array(centroids, "centroids", options.k * request.x.d, request.pins, &given)) return info.Env().Undefined();
  std::unique_ptr<KMeans> task;
  const Status created = KMeans::create(request.backend, request.x, options, centroids.IsUndefined() ? nullptr : given.data(), &task);
  return start(info.Env(), created, task, request, k_means_result);
}

bool read_first(const Napi::Value& value, KCenterOptions* out) {
  if (value.IsNumber()) {
    out->first = FirstCentre::given;
    return read_integer(value, "first", 0, kLargestCount, &out->first_index);
  }
  std::string name;
  if (!read_string(value, "first", &name)) return false;
  if (name == "farthest-from-mean") {
    out->first = FirstCentre::farthest_from_mean;
  } else if (name == "greedy") {
    out->first = FirstCentre::greedy;
  } else {
    throw_status(value.Env(),
                 failure(Code::invalid_argument, "Expected a row, 'farthest-from-mean' or 'greedy' for first but received '%s'.",
                         name.c_str()));
    return false;
  }
  return true;
}

Napi::Value k_center_result(Napi::Env env, KCenterResult result, bool want_nearest) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("order", copied<Napi::Int32Array>(env, result.order));
  out.Set("radii", copied<Napi::Float64Array>(env, result.radii));
  out.Set("coverages", copied<Napi::Float64Array>(env, result.coverages));
  out.Set("coverage", result.coverage);
  if (want_nearest) {
    out.Set("nearest", handed_over<Napi::Int32Array>(env, std::move(result.nearest)));
  } else {
    out.Set("nearest", env.Null());
  }
  return out;
}

Napi::Value k_center(const Napi::CallbackInfo& info) {
  Request request;
  KCenterOptions options;
  if (!read_request(info, &request)) return info.Env().Undefined();
  const Napi::Object& asked = request.options;
  if (!read_integer(asked.Get("k"), "k", 0, kLargestCount, &options.k) || !read_first(asked.Get("first"), &options) ||
      !read_boolean(asked.Get("excludeTaken"), "excludeTaken", &options.exclude_taken) ||
      !read_boolean(asked.Get("wantNearest"), "wantNearest", &options.want_nearest) ||
      (!asked.Get("metric").IsUndefined() && !read_metric(asked.Get("metric"), &options.metric))) {
    return info.Env().Undefined();
  }
  const Napi::Value warm_start = asked.Get("warmStart");
  if (!warm_start.IsUndefined()) {
    Pins copied_now;
    std::span<int32_t> rows;
    if (!read_array(warm_start, "warmStart", -1, copied_now, &rows)) return info.Env().Undefined();
    options.warm_start.assign(rows.begin(), rows.end());
  }
  const bool want_nearest = options.want_nearest;
  std::unique_ptr<KCenterTask> task;
  const Status created = k_center_task(request.backend, request.x, std::move(options), &task);
  return start(info.Env(), created, task, request, [want_nearest](Napi::Env env, const KCenterResult& result) { return k_center_result(env, result, want_nearest); });
}

Napi::Value pca_result(Napi::Env env, PcaResult result) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("components", static_cast<double>(result.components));
  out.Set("mean", copied<Napi::Float64Array>(env, result.mean));
  out.Set("directions", handed_over<Napi::Float64Array>(env, std::move(result.directions)));
  out.Set("variances", copied<Napi::Float64Array>(env, result.variances));
  out.Set("totalVariance", result.total_variance);
  out.Set("projected", handed_over<Napi::Float32Array>(env, std::move(result.projected)));
  return out;
}

Napi::Value pca(const Napi::CallbackInfo& info) {
  Request request;
  PcaOptions options;
  if (!read_request(info, &request) || !read_integer(request.options.Get("components"), "components", 1, kLargestCount, &options.components) ||
      !read_number(request.options.Get("targetVariance"), "targetVariance", &options.target_variance)) {
    return info.Env().Undefined();
  }
  std::unique_ptr<Pca> task;
  const Status created = Pca::create(request.backend, request.x, options, &task);
  return start(info.Env(), created, task, request, pca_result);
}

Napi::Value neighbours_result(Napi::Env env, NeighbourResult result) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("indices", handed_over<Napi::Int32Array>(env, std::move(result.indices)));
  out.Set("distances", handed_over<Napi::Float32Array>(env, std::move(result.distances)));
  return out;
}

Napi::Value nearest_neighbours(const Napi::CallbackInfo& info) {
  Request request;
  NeighbourOptions options;
  if (!read_request(info, &request) || !read_integer(request.options.Get("k"), "k", 1, kLargestCount, &options.k) ||
      !read_metric(request.options.Get("metric"), &options.metric)) {
    return info.Env().Undefined();
  }
  std::unique_ptr<NearestNeighbours> task;
  const Status created = NearestNeighbours::create(request.backend, request.x, options, &task);
  return start(info.Env(), created, task, request, neighbours_result);
}

Napi::Value facility_location_result(Napi::Env env, FacilityLocationResult result) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("order", copied<Napi::Int32Array>(env, result.order));
  out.Set("gains", copied<Napi::Float64Array>(env, result.gains));
  out.Set("value", result.value);
  out.Set("evaluations", static_cast<double>(result.evaluations));
  return out;
}

Napi::Value facility_location(const Napi::CallbackInfo& info) {
  Request request;
  FacilityLocationOptions options;
  if (!read_request(info, &request) || !read_integer(request.options.Get("budget"), "budget", 0, kLargestCount, &options.budget) ||
      !read_metric(request.options.Get("metric"), &options.metric)) {
    return info.Env().Undefined();
  }
  std::unique_ptr<FacilityLocation> task;
  const Status created = FacilityLocation::create(request.backend, request.x, options, &task);
  return start(info.Env(), created, task, request, facility_location_result);
}

}  // namespace

void register_selection(Napi::Env env, Napi::Object exports) {
  exports.Set("kMeansTask", Napi::Function::New<k_means>(env, "kMeansTask"));
  exports.Set("kCenterTask", Napi::Function::New<k_center>(env, "kCenterTask"));
  exports.Set("pcaTask", Napi::Function::New<pca>(env, "pcaTask"));
  exports.Set("nearestNeighboursTask", Napi::Function::New<nearest_neighbours>(env, "nearestNeighboursTask"));
  exports.Set("facilityLocationTask", Napi::Function::New<facility_location>(env, "facilityLocationTask"));
}

}  // namespace mendset::addon
