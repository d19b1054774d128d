#include <optional>
#include <utility>

#include "addon/arguments.h"
#include "addon/environment.h"
#include "addon/model_object.h"
#include "addon/task_object.h"

namespace mendset::addon {

namespace {

// directory, backend, threads, asStored
Napi::Value load_model(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string directory;
  std::shared_ptr<Backend> backend;
  bool as_stored = false;
  if (!read_string(info[0], "directory", &directory) || !open_backend(info[1], info[2], &backend) ||
      !read_boolean(info[3], "asStored", &as_stored)) {
    return env.Undefined();
  }
  auto model = std::make_shared<std::shared_ptr<Model>>();
  std::unique_ptr<Task> task;
  if (!succeeded(env, load_model_task(backend, directory, as_stored, model.get(), &task))) return env.Undefined();
  return TaskObject::create(
      env, std::move(task), {}, [model](Napi::Env e) -> Napi::Value { return ModelObject::create(e, *model); }, model);
}

// configJson, seed, backend, threads
Napi::Value create_fresh_model(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string config;
  uint64_t seed = 0;
  std::shared_ptr<Backend> backend;
  std::shared_ptr<Model> model;
  if (!read_string(info[0], "config", &config) || !read_uint64(info[1], "seed", &seed) ||
      !open_backend(info[2], info[3], &backend) || !succeeded(env, create_model(backend, config, seed, &model))) {
    return env.Undefined();
  }
  return ModelObject::create(env, std::move(model));
}

// model, directory, dtype, shardBytes
Napi::Value save_model(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::shared_ptr<Model> model;
  std::string directory, dtype;
  int64_t shard_bytes = 0;
  std::unique_ptr<Task> task;
  if (!ModelObject::read(info[0], "model", &model) || !read_string(info[1], "directory", &directory) ||
      !read_string(info[2], "dtype", &dtype) || !read_integer(info[3], "shardBytes", 1, int64_t{1} << 52, &shard_bytes) ||
      !succeeded(env, save_model_task(model, directory, dtype, shard_bytes, &task))) {
    return env.Undefined();
  }
  return TaskObject::create(env, std::move(task), {});
}

bool read_token_outputs(const Napi::Object& object, int64_t tokens, Pins& pins, TokenOutputs* out) {
  return read_output(object, "logProb", tokens, pins, &out->log_prob) && read_output(object, "el2n", tokens, pins, &out->el2n) &&
         read_output(object, "margin", tokens, pins, &out->margin) && read_output(object, "argmax", tokens, pins, &out->argmax);
}

// model, batch, outputs
Napi::Value score(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::shared_ptr<Model> model;
  Pins pins;
  PackedBatch batch;
  if (!ModelObject::read(info[0], "model", &model) || !read_batch(info[1], "batch", pins, &batch)) return env.Undefined();
  if (!info[2].IsObject()) {
    throw_status(env, failure(Code::invalid_argument, "Expected an object of output arrays."));
    return env.Undefined();
  }
  const auto object = info[2].As<Napi::Object>();
  const ModelSummary summary = summarize(*model);
  const int64_t tokens = batch.tokens();
  ScoreOutputs outputs;
  if (!read_token_outputs(object, tokens, pins, &outputs) ||
      !read_output(object, "hidden", tokens * summary.width, pins, &outputs.hidden) ||
      !read_output(object, "embedding", batch.samples() * summary.width, pins, &outputs.embedding) ||
      !read_output(object, "logits", tokens * summary.vocab, pins, &outputs.logits)) {
    return env.Undefined();
  }
  const Napi::Value normalize = object.Get("normalizeEmbedding");
  if (!normalize.IsUndefined() && !read_boolean(normalize, "normalizeEmbedding", &outputs.normalize_embedding))
    return env.Undefined();
  std::unique_ptr<Task> task;
  if (!succeeded(env, score_task(model, batch, outputs, &task))) return env.Undefined();
  return TaskObject::create(env, std::move(task), std::move(pins));
}

// model, batch, tokenMean, block, squares, scores | undefined
Napi::Value gradient_norms(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::shared_ptr<Model> model;
  Pins pins;
  PackedBatch batch;
  bool token_mean = true;
  int64_t block = -1;
  std::span<double> squares;
  if (!ModelObject::read(info[0], "model", &model) || !read_batch(info[1], "batch", pins, &batch) ||
      !read_boolean(info[2], "tokenMean", &token_mean) ||
      !read_integer(info[3], "block", -1, summarize(*model).layers - 1, &block) ||
      !read_array(info[4], "squares", batch.samples() * static_cast<int64_t>(tensors(*model).size()), pins, &squares)) {
    return env.Undefined();
  }
  TokenOutputs scores;
  if (!info[5].IsUndefined()) {
    if (!info[5].IsObject()) {
      throw_status(env, failure(Code::invalid_argument, "Expected an object of arrays for the scores of gradient norms."));
      return env.Undefined();
    }
    if (!read_token_outputs(info[5].As<Napi::Object>(), batch.tokens(), pins, &scores)) return env.Undefined();
  }
  std::unique_ptr<Task> task;
  if (!succeeded(env, gradient_norm_task(model, batch, token_mean, static_cast<int>(block), squares.data(), scores, &task)))
    return env.Undefined();
  return TaskObject::create(env, std::move(task), std::move(pins));
}

// model, batch, loss, gradients
Napi::Value gradient(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::shared_ptr<Model> model;
  Pins pins;
  PackedBatch batch;
  std::span<double> loss;
  if (!ModelObject::read(info[0], "model", &model) || !read_batch(info[1], "batch", pins, &batch) ||
      !read_array(info[2], "loss", 1, pins, &loss)) {
    return env.Undefined();
  }
  const auto& list = tensors(*model);
  if (!info[3].IsArray() || info[3].As<Napi::Array>().Length() != list.size()) {
    throw_status(env,
                 failure(Code::invalid_argument, "Expected one Float32Array for each of the model's %zu tensors.", list.size()));
    return env.Undefined();
  }
  auto pointers = std::make_shared<std::vector<float*>>();
  for (size_t i = 0; i < list.size(); ++i) {
    std::span<float> values;
    if (!read_array(info[3].As<Napi::Array>().Get(static_cast<uint32_t>(i)), list[i].name.c_str(), list[i].count, pins, &values))
      return env.Undefined();
    pointers->push_back(values.data());
  }
  std::unique_ptr<Task> task;
  if (!succeeded(env, gradient_task(model, batch, loss.data(), *pointers, &task))) return env.Undefined();
  return TaskObject::create(env, std::move(task), std::move(pins), nullptr, pointers);
}

bool read_optional_float(const Napi::Object& object, const char* name, float* out) {
  const Napi::Value value = object.Get(name);
  if (value.IsUndefined()) return true;
  double number = 0;
  if (!read_number(value, name, &number)) return false;
  *out = static_cast<float>(number);
  return true;
}

}  // namespace

bool read_adapter_options(const Napi::Value& value, std::optional<AdapterOptions>* out) {
  if (value.IsNull()) return true;
  if (!value.IsObject()) {
    throw_status(value.Env(),
                 failure(Code::invalid_argument, "Expected adapter options { rank, alpha, seed, targets } or null."));
    return false;
  }
  const auto object = value.As<Napi::Object>();
  AdapterOptions options;
  if (!read_integer(object.Get("rank"), "rank", 1, 1'000'000, &options.rank) ||
      !read_optional_float(object, "alpha", &options.alpha) || !read_uint64(object.Get("seed"), "seed", &options.seed)) {
    return false;
  }
  if (!object.Get("targets").IsArray()) {
    throw_status(value.Env(), failure(Code::invalid_argument, "Expected the targets of an adapter to be an array of names."));
    return false;
  }
  const auto targets = object.Get("targets").As<Napi::Array>();
  for (uint32_t i = 0; i < targets.Length(); ++i) {
    std::string target;
    if (!read_string(targets.Get(i), "targets", &target)) return false;
    options.targets.push_back(std::move(target));
  }
  *out = std::move(options);
  return true;
}

namespace {

// model, reference | null, options, adapter options | null
Napi::Value make_trainer(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::shared_ptr<Model> model, reference;
  if (!ModelObject::read(info[0], "model", &model)) return env.Undefined();
  if (!info[1].IsNull() && !ModelObject::read(info[1], "reference", &reference)) return env.Undefined();
  OptimizerOptions options;
  if (!read_optimizer(info[2], &options)) return env.Undefined();
  std::shared_ptr<Trainer> trainer;
  std::optional<AdapterOptions> adapter;
  if (!read_adapter_options(info[3], &adapter)) return env.Undefined();
  if (!succeeded(env, create_trainer(model, reference, options, adapter ? &*adapter : nullptr, &trainer))) return env.Undefined();
  return TrainerObject::create(env, std::move(trainer));
}

// model, prompts, options, ids, lengths, stopped
Napi::Value generate(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::shared_ptr<Model> model;
  Pins pins;
  PackedBatch prompts;
  if (!ModelObject::read(info[0], "model", &model) || !read_batch(info[1], "prompts", pins, &prompts)) return env.Undefined();
  if (!info[2].IsObject()) {
    throw_status(env, failure(Code::invalid_argument, "Expected generation options."));
    return env.Undefined();
  }
  const auto object = info[2].As<Napi::Object>();
  GenerateOptions options;
  std::span<uint32_t> subs;
  int64_t top_k = 0;
  if (!read_integer(object.Get("maxNewTokens"), "maxNewTokens", 1, int64_t{1} << 30, &options.max_new_tokens) ||
      !read_boolean(object.Get("greedy"), "greedy", &options.greedy) ||
      !read_optional_float(object, "temperature", &options.temperature) || !read_optional_float(object, "topP", &options.top_p) ||
      !read_integer(object.Get("topK"), "topK", 0, int64_t{1} << 30, &top_k) ||
      !read_integer(object.Get("eos"), "eos", -1, int64_t{1} << 30, &options.eos) ||
      !read_uint64(object.Get("seed"), "seed", &options.seed) ||
      !read_array(object.Get("subs"), "subs", prompts.samples(), pins, &subs)) {
    return env.Undefined();
  }
  options.top_k = static_cast<int32_t>(top_k);
  options.subs = subs;
  std::span<int32_t> ids, lengths;
  std::span<uint8_t> stopped;
  if (!read_array(info[3], "ids", prompts.samples() * options.max_new_tokens, pins, &ids) ||
      !read_array(info[4], "lengths", prompts.samples(), pins, &lengths) ||
      !read_array(info[5], "stopped", prompts.samples(), pins, &stopped)) {
    return env.Undefined();
  }
  std::unique_ptr<Task> task;
  if (!succeeded(env, generate_task(model, prompts, options, ids.data(), lengths.data(), stopped.data(), &task)))
    return env.Undefined();
  return TaskObject::create(env, std::move(task), std::move(pins));
}

}  // namespace

void register_model(Napi::Env env, Napi::Object exports) {
  ModelObject::define(env);
  TrainerObject::define(env);
  exports.Set("loadModelTask", Napi::Function::New<load_model>(env, "loadModelTask"));
  exports.Set("createModel", Napi::Function::New<create_fresh_model>(env, "createModel"));
  exports.Set("saveModelTask", Napi::Function::New<save_model>(env, "saveModelTask"));
  exports.Set("scoreTask", Napi::Function::New<score>(env, "scoreTask"));
  exports.Set("gradientNormTask", Napi::Function::New<gradient_norms>(env, "gradientNormTask"));
  exports.Set("gradientTask", Napi::Function::New<gradient>(env, "gradientTask"));
  exports.Set("createTrainer", Napi::Function::New<make_trainer>(env, "createTrainer"));
  exports.Set("generateTask", Napi::Function::New<generate>(env, "generateTask"));
}

}  // namespace mendset::addon
