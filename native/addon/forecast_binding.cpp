// Memory and FLOPs of work on a model, before it starts and without its weights.
#include <utility>

#include "addon/arguments.h"
#include "addon/model_object.h"

namespace mendset::addon {

Napi::Object to_object(Napi::Env env, const MemoryForecast& f) {
  Napi::Object out = Napi::Object::New(env);
  for (const auto& [name, bytes] : {std::pair{"weights", f.weights},
                                    {"weightsMost", f.weights_most},
                                    {"reference", f.reference},
                                    {"optimizer", f.optimizer},
                                    {"optimizerMost", f.optimizer_most},
                                    {"snapshot", f.snapshot},
                                    {"snapshotMost", f.snapshot_most},
                                    {"work", f.work},
                                    {"gradients", f.gradients},
                                    {"cache", f.cache},
                                    {"scratch", f.scratch},
                                    {"peak", f.peak()},
                                    {"microBatches", f.micro_batches}}) {
    out.Set(name, static_cast<double>(bytes));
  }
  out.Set("flops", f.flops);
  out.Set("checkpointed", f.checkpointed);
  return out;
}

namespace {

bool is_true(const Napi::Object& object, const char* name) { return object.Get(name).ToBoolean().Value(); }

bool forecast_of_step(const std::shared_ptr<Model>& model, const Napi::Object& work, MemoryForecast* out) {
  Pins pins;
  StepRequest request;
  OptimizerOptions optimizer;
  std::optional<AdapterOptions> adapter;
  if (!read_step_request(work.Get("request"), pins, &request) || !read_optimizer(work.Get("optimizer"), &optimizer) ||
      !read_adapter_options(work.Get("adapter"), &adapter)) {
    return false;
  }
  const std::shared_ptr<Model> reference = is_true(work, "reference") ? model : nullptr;
  return succeeded(work.Env(), forecast_step(model, reference, optimizer, adapter ? &*adapter : nullptr,
                                             is_true(work, "snapshot"), request, out));
}

bool forecast_of_score(const std::shared_ptr<Model>& model, const Napi::Object& work, MemoryForecast* out) {
  Pins pins;
  PackedBatch batch;
  if (!read_batch(work.Get("batch"), "batch", pins, &batch)) return false;
  // Wanted outputs need an address, which is not followed.
  double number = 0;
  float value = 0;
  ScoreOutputs outputs;
  if (is_true(work, "statistics")) outputs.log_prob = outputs.el2n = outputs.margin = &number;
  if (is_true(work, "hidden")) outputs.hidden = &value;
  return succeeded(work.Env(), forecast_score(model, batch, outputs, out));
}

bool forecast_of_norms(const std::shared_ptr<Model>& model, const Napi::Object& work, MemoryForecast* out) {
  Pins pins;
  PackedBatch batch;
  int64_t block = -1;
  return read_batch(work.Get("batch"), "batch", pins, &batch) &&
         read_integer(work.Get("block"), "block", -1, 1'000'000, &block) &&
         succeeded(work.Env(), forecast_gradient_norms(model, batch, static_cast<int>(block), out));
}

bool forecast_of_generation(const std::shared_ptr<Model>& model, const Napi::Object& work, MemoryForecast* out) {
  Pins pins;
  PackedBatch prompts;
  GenerateOptions options;
  return read_batch(work.Get("batch"), "batch", pins, &prompts) &&
         read_integer(work.Get("maxNewTokens"), "maxNewTokens", 1, int64_t{1} << 30, &options.max_new_tokens) &&
         succeeded(work.Env(), forecast_generate(model, prompts, options, out));
}

// configJson or folder, backend, threads, work, isFolder, asStored
Napi::Value forecast_memory(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string source, kind;
  bool is_folder = false, as_stored = false;
  std::shared_ptr<Backend> backend;
  std::shared_ptr<Model> model;
  if (!read_string(info[0], "model", &source) || !open_backend(info[1], info[2], &backend) ||
      !read_boolean(info[4], "isFolder", &is_folder) || !read_boolean(info[5], "asStored", &as_stored)) {
    return env.Undefined();
  }
  if (!info[3].IsObject()) {
    throw_status(env, failure(Code::invalid_argument, "Expected the work to forecast: { kind, ... }."));
    return env.Undefined();
  }
  const auto work = info[3].As<Napi::Object>();
  const auto lay_out = is_folder ? layout_checkpoint : layout_model;
  if (!read_string(work.Get("kind"), "kind", &kind) || !succeeded(env, lay_out(backend, source, as_stored, &model)))
    return env.Undefined();
  const struct {
    const char* name;
    bool (*forecast)(const std::shared_ptr<Model>&, const Napi::Object&, MemoryForecast*);
  } kinds[] = {{"step", forecast_of_step},
               {"score", forecast_of_score},
               {"gradient-norms", forecast_of_norms},
               {"generate", forecast_of_generation}};
  for (const auto& [name, forecast] : kinds) {
    if (kind != name) continue;
    MemoryForecast result;
    return forecast(model, work, &result) ? Napi::Value(to_object(env, result)) : env.Undefined();
  }
  throw_status(env, failure(Code::invalid_argument, "Expected 'step', 'score', 'gradient-norms' or 'generate' but received '%s'.",
                            kind.c_str()));
  return env.Undefined();
}

}  // namespace

void register_forecast(Napi::Env env, Napi::Object exports) {
  exports.Set("forecastMemory", Napi::Function::New<forecast_memory>(env, "forecastMemory"));
}

}  // namespace mendset::addon
