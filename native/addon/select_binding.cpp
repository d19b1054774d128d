#include "addon/select_binding.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "addon/arguments.h"
#include "addon/environment.h"
#include "addon/task_object.h"
#include "select/facility_location.h"
#include "select/k_center.h"
#include "model/files.h"
#include "select/k_means.h"
#include "select/memory_estimate.h"
#include "select/neighbours.h"
#include "select/pca.h"
#include "select/permutation.h"
#include "select/top_k.h"

namespace mendset::addon {
namespace {

constexpr int64_t kLargestCount = std::numeric_limits<int32_t>::max();

bool open_backend(const Napi::Value& name_value, const Napi::Value& threads_value, std::shared_ptr<Backend>* out) {
  std::string name;
  int64_t threads = 0;
  Napi::Env env = name_value.Env();
  return read_string(name_value, "backend", &name) && read_integer(threads_value, "threads", 0, 1024, &threads) &&
         succeeded(env, Environment::of(env).backend(name, static_cast<int>(threads), out));
}

bool read_object(const Napi::Value& value, const char* name, Napi::Object* out) {
  if (!value.IsObject()) {
    throw_status(value.Env(), failure(Code::invalid_argument, "Expected an object for %s.", name));
    return false;
  }
  *out = value.As<Napi::Object>();
  return true;
}

// { data: Float32Array, rows, columns }, or { path, offset, rows, columns }: little-endian fp32 in a file, which is mapped and kept by
// `keep`.
bool read_matrix(const Napi::Value& value, Pins& pins, std::shared_ptr<MappedFile>* keep, MatrixView* out) {
  Napi::Object object;
  std::span<float> data;
  if (!read_object(value, "the matrix", &object) || !read_integer(object.Get("rows"), "rows", 0, kLargestCount, &out->n) ||
      !read_integer(object.Get("columns"), "columns", 0, kLargestCount, &out->d)) {
    return false;
  }
  if (object.Get("path").IsUndefined()) {
    if (!read_array(object.Get("data"), "data", out->n * out->d, pins, &data)) return false;
    out->data = data.data();
    return true;
  }
  std::string path;
  int64_t offset = 0;
  if (!read_string(object.Get("path"), "path", &path) || !read_integer(object.Get("offset"), "offset", 0, int64_t{1} << 53, &offset)) return false;
  *keep = std::make_shared<MappedFile>();
  Status status = MappedFile::open(path, keep->get());
  const std::string_view bytes = (*keep)->bytes();
  const size_t wanted = static_cast<size_t>(out->n) * static_cast<size_t>(out->d) * sizeof(float), first = static_cast<size_t>(offset);
  if (status.ok() && (offset % 4 != 0 || first > bytes.size() || bytes.size() - first < wanted)) {
    status = failure(Code::invalid_argument, "Expected %zu bytes of fp32 at an offset divisible by 4 but %s has %zu bytes and the offset is %zu.", wanted, path.c_str(), bytes.size(), first);
  }
  out->data = reinterpret_cast<const float*>(bytes.data() + (status.ok() ? first : 0));
  return succeeded(value.Env(), status);
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

template <typename Array, typename T>
Array copied(Napi::Env env, const std::vector<T>& values) {
  Array array = Array::New(env, values.size());
  std::transform(values.begin(), values.end(), array.Data(),
                 [](T value) { return static_cast<typename std::remove_pointer_t<decltype(array.Data())>>(value); });
  return array;
}

Napi::Value k_means_result(Napi::Env env, const KMeansResult& result) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("k", static_cast<double>(result.k));
  out.Set("iterations", static_cast<double>(result.iterations));
  out.Set("restart", static_cast<double>(result.restart));
  out.Set("stop", result.stop == KMeansStop::labels_stable ? "labels-stable" : "iteration-limit");
  out.Set("inertia", result.inertia);
  out.Set("inertiaPerIteration", copied<Napi::Float64Array>(env, result.inertia_per_iteration));
  out.Set("centroids", copied<Napi::Float64Array>(env, result.centroids));
  out.Set("sizes", copied<Napi::Int32Array>(env, result.sizes));
  out.Set("labels", copied<Napi::Int32Array>(env, result.labels));
  out.Set("ownDistance", copied<Napi::Float64Array>(env, result.own_distance));
  out.Set("refilled", static_cast<double>(result.refilled));
  out.Set("pairs", static_cast<double>(result.pairs));
  out.Set("filteredPairs", static_cast<double>(result.filtered));
  out.Set("computedDistances", static_cast<double>(result.distances));
  out.Set("secondLabels", copied<Napi::Int32Array>(env, result.second_labels));
  out.Set("secondDistance", copied<Napi::Float64Array>(env, result.second_distance));
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

// x, request, backend, threads
Napi::Value k_means(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Pins pins;
  std::shared_ptr<MappedFile> file;
  MatrixView x;
  Napi::Object request;
  KMeansOptions options;
  std::shared_ptr<Backend> backend;
  if (!read_matrix(info[0], pins, &file, &x) || !read_object(info[1], "the request", &request) ||
      !read_integer(request.Get("k"), "k", 1, kLargestCount, &options.k) ||
      !read_integer(request.Get("maxIterations"), "maxIterations", 0, kLargestCount, &options.max_iterations) ||
      !read_integer(request.Get("restarts"), "restarts", 1, kLargestCount, &options.restarts) ||
      !read_uint64(request.Get("seed"), "seed", &options.seed) || !read_start(request.Get("start"), &options.start) ||
      !read_optional_boolean(request, "spherical", &options.spherical) || !read_optional_boolean(request, "prune", &options.prune) ||
      !read_optional_boolean(request, "wantSecond", &options.want_second) || !open_backend(info[2], info[3], &backend)) {
    return env.Undefined();
  }
  std::span<double> given;
  const Napi::Value centroids = request.Get("centroids");
  if (!centroids.IsUndefined() && !read_array(centroids, "centroids", options.k * x.d, pins, &given)) return env.Undefined();
  std::unique_ptr<KMeans> task;
  if (!succeeded(env, KMeans::create(backend, x, options, centroids.IsUndefined() ? nullptr : given.data(), &task)))
    return env.Undefined();
  const KMeans* finished = task.get();
  return TaskObject::create(env, std::move(task), std::move(pins),
                            [finished](Napi::Env e) { return k_means_result(e, finished->result()); }, std::move(file));
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

Napi::Value k_center_result(Napi::Env env, const KCenterResult& result, bool want_nearest) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("order", copied<Napi::Int32Array>(env, result.order));
  out.Set("radii", copied<Napi::Float64Array>(env, result.radii));
  out.Set("coverages", copied<Napi::Float64Array>(env, result.coverages));
  out.Set("coverage", result.coverage);
  if (want_nearest) {
    out.Set("nearest", copied<Napi::Int32Array>(env, result.nearest));
  } else {
    out.Set("nearest", env.Null());
  }
  return out;
}

// x, request, backend, threads
Napi::Value k_center(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Pins pins;
  std::shared_ptr<MappedFile> file;
  MatrixView x;
  Napi::Object request;
  KCenterOptions options;
  std::shared_ptr<Backend> backend;
  if (!read_matrix(info[0], pins, &file, &x) || !read_object(info[1], "the request", &request) ||
      !read_integer(request.Get("k"), "k", 0, kLargestCount, &options.k) || !read_first(request.Get("first"), &options) ||
      !read_boolean(request.Get("excludeTaken"), "excludeTaken", &options.exclude_taken) ||
      !read_boolean(request.Get("wantNearest"), "wantNearest", &options.want_nearest) ||
      (!request.Get("metric").IsUndefined() && !read_metric(request.Get("metric"), &options.metric)) ||
      !open_backend(info[2], info[3], &backend)) {
    return env.Undefined();
  }
  const Napi::Value warm_start = request.Get("warmStart");
  if (!warm_start.IsUndefined()) {
    Pins copied_now;
    std::span<int32_t> rows;
    if (!read_array(warm_start, "warmStart", -1, copied_now, &rows)) return env.Undefined();
    options.warm_start.assign(rows.begin(), rows.end());
  }
  const bool want_nearest = options.want_nearest;
  std::unique_ptr<KCenterTask> task;
  if (!succeeded(env, k_center_task(backend, x, std::move(options), &task))) return env.Undefined();
  const KCenterTask* finished = task.get();
  return TaskObject::create(env, std::move(task), std::move(pins), [finished, want_nearest](Napi::Env e) {
    return k_center_result(e, finished->result(), want_nearest);
  }, std::move(file));
}

Napi::Value pca_result(Napi::Env env, const PcaResult& result) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("components", static_cast<double>(result.components));
  out.Set("mean", copied<Napi::Float64Array>(env, result.mean));
  out.Set("directions", copied<Napi::Float64Array>(env, result.directions));
  out.Set("variances", copied<Napi::Float64Array>(env, result.variances));
  out.Set("totalVariance", result.total_variance);
  out.Set("projected", copied<Napi::Float32Array>(env, result.projected));
  return out;
}

// x, request, backend, threads
Napi::Value pca(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Pins pins;
  std::shared_ptr<MappedFile> file;
  MatrixView x;
  Napi::Object request;
  PcaOptions options;
  std::shared_ptr<Backend> backend;
  if (!read_matrix(info[0], pins, &file, &x) || !read_object(info[1], "the request", &request) ||
      !read_integer(request.Get("components"), "components", 1, kLargestCount, &options.components) ||
      !read_number(request.Get("targetVariance"), "targetVariance", &options.target_variance) ||
      !open_backend(info[2], info[3], &backend)) {
    return env.Undefined();
  }
  std::unique_ptr<Pca> task;
  if (!succeeded(env, Pca::create(backend, x, options, &task))) return env.Undefined();
  const Pca* finished = task.get();
  return TaskObject::create(env, std::move(task), std::move(pins),
                            [finished](Napi::Env e) { return pca_result(e, finished->result()); }, std::move(file));
}

// x, request, backend, threads
Napi::Value nearest_neighbours(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Pins pins;
  std::shared_ptr<MappedFile> file;
  MatrixView x;
  Napi::Object request;
  NeighbourOptions options;
  std::shared_ptr<Backend> backend;
  if (!read_matrix(info[0], pins, &file, &x) || !read_object(info[1], "the request", &request) ||
      !read_integer(request.Get("k"), "k", 1, kLargestCount, &options.k) || !read_metric(request.Get("metric"), &options.metric) ||
      !open_backend(info[2], info[3], &backend)) {
    return env.Undefined();
  }
  std::unique_ptr<NearestNeighbours> task;
  if (!succeeded(env, NearestNeighbours::create(backend, x, options, &task))) return env.Undefined();
  const NearestNeighbours* finished = task.get();
  return TaskObject::create(env, std::move(task), std::move(pins), [finished](Napi::Env e) -> Napi::Value {
    Napi::Object out = Napi::Object::New(e);
    out.Set("indices", copied<Napi::Int32Array>(e, finished->result().indices));
    out.Set("distances", copied<Napi::Float32Array>(e, finished->result().distances));
    return out;
  }, std::move(file));
}

// x, request, backend, threads
Napi::Value facility_location(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Pins pins;
  std::shared_ptr<MappedFile> file;
  MatrixView x;
  Napi::Object request;
  FacilityLocationOptions options;
  std::shared_ptr<Backend> backend;
  if (!read_matrix(info[0], pins, &file, &x) || !read_object(info[1], "the request", &request) ||
      !read_integer(request.Get("budget"), "budget", 0, kLargestCount, &options.budget) ||
      !read_metric(request.Get("metric"), &options.metric) || !open_backend(info[2], info[3], &backend)) {
    return env.Undefined();
  }
  std::unique_ptr<FacilityLocation> task;
  if (!succeeded(env, FacilityLocation::create(backend, x, options, &task))) return env.Undefined();
  const FacilityLocation* finished = task.get();
  return TaskObject::create(env, std::move(task), std::move(pins), [finished](Napi::Env e) -> Napi::Value {
    Napi::Object out = Napi::Object::New(e);
    out.Set("order", copied<Napi::Int32Array>(e, finished->result().order));
    out.Set("gains", copied<Napi::Float64Array>(e, finished->result().gains));
    out.Set("value", finished->result().value);
    out.Set("evaluations", static_cast<double>(finished->result().evaluations));
    return out;
  }, std::move(file));
}

// seed, stream, sub, n, count
Napi::Value permutation(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  uint64_t seed = 0;
  int64_t stream = 0, sub = 0, n = 0, count = 0;
  std::vector<int32_t> values;
  if (!read_uint64(info[0], "seed", &seed) || !read_integer(info[1], "stream", 0, 0xffffffff, &stream) ||
      !read_integer(info[2], "sub", 0, 0xffffffff, &sub) || !read_integer(info[3], "n", 0, kLargestCount, &n) ||
      !read_integer(info[4], "count", 0, kLargestCount, &count) ||
      !succeeded(env, permutation_prefix(RandomStream(seed, static_cast<uint32_t>(stream), static_cast<uint32_t>(sub)), n, count, &values))) {
    return env.Undefined();
  }
  return copied<Napi::Int32Array>(env, values);
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

// values, k
Napi::Value top_k_indices(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Pins pins;
  std::span<double> values;
  int64_t k = 0;
  std::vector<int64_t> indices;
  if (!read_array(info[0], "values", -1, pins, &values) || !read_integer(info[1], "k", 0, kLargestCount, &k) ||
      !succeeded(env, top_k(values.data(), static_cast<int64_t>(values.size()), k, &indices))) {
    return env.Undefined();
  }
  return copied<Napi::Int32Array>(env, indices);
}

}  // namespace

void register_selection(Napi::Env env, Napi::Object exports) {
  exports.Set("kMeansTask", Napi::Function::New<k_means>(env, "kMeansTask"));
  exports.Set("kCenterTask", Napi::Function::New<k_center>(env, "kCenterTask"));
  exports.Set("pcaTask", Napi::Function::New<pca>(env, "pcaTask"));
  exports.Set("nearestNeighboursTask", Napi::Function::New<nearest_neighbours>(env, "nearestNeighboursTask"));
  exports.Set("facilityLocationTask", Napi::Function::New<facility_location>(env, "facilityLocationTask"));
  exports.Set("selectionMemory", Napi::Function::New<memory>(env, "selectionMemory"));
  exports.Set("permutationPrefix", Napi::Function::New<permutation>(env, "permutationPrefix"));
  exports.Set("topK", Napi::Function::New<top_k_indices>(env, "topK"));
}

}  // namespace mendset::addon
