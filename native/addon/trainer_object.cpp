#include <utility>

#include "addon/arguments.h"
#include "addon/environment.h"
#include "addon/model_object.h"
#include "addon/task_object.h"

namespace mendset::addon {

Napi::Object TrainerObject::create(Napi::Env env, std::shared_ptr<Trainer> trainer) {
  return Environment::of(env).trainer_class.New({Napi::External<std::shared_ptr<Trainer>>::New(env, &trainer)});
}

void TrainerObject::define(Napi::Env env) {
  Environment::of(env).trainer_class = Napi::Persistent(DefineClass(
      env, "NativeTrainer",
      {InstanceMethod<&TrainerObject::make_step_task>("stepTask"), InstanceMethod<&TrainerObject::forecast>("forecast"),
       InstanceMethod<&TrainerObject::poisoned>("poisoned"),
       InstanceMethod<&TrainerObject::bytes>("bytes"), InstanceMethod<&TrainerObject::save_state>("saveState"),
       InstanceMethod<&TrainerObject::load_state>("loadState"), InstanceMethod<&TrainerObject::snapshot>("snapshot"),
       InstanceMethod<&TrainerObject::restore>("restore"), InstanceMethod<&TrainerObject::tensors>("tensors"),
       InstanceMethod<&TrainerObject::read_gradient>("readGradient"), InstanceMethod<&TrainerObject::save_adapter>("saveAdapter"),
       InstanceMethod<&TrainerObject::load_adapter>("loadAdapter"), InstanceMethod<&TrainerObject::merge_adapter>("mergeAdapter"),
       InstanceMethod<&TrainerObject::dispose>("dispose")}));
}

TrainerObject::TrainerObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<TrainerObject>(info) {
  if (info.Length() != 1 || !info[0].IsExternal()) {
    throw_status(info.Env(), failure(Code::invalid_argument, "A native trainer is made by createTrainer, not by `new`."));
    return;
  }
  trainer_ = *info[0].As<Napi::External<std::shared_ptr<Trainer>>>().Data();
}

bool TrainerObject::alive(Napi::Env env) const {
  if (trainer_) return true;
  throw_status(env, failure(Code::invalid_argument, "The trainer has been disposed."));
  return false;
}

namespace {

template <typename E>
bool read_choice(const Napi::Object& object, const char* name, std::initializer_list<std::pair<const char*, E>> choices, E* out) {
  std::string text;
  if (!read_string(object.Get(name), name, &text)) return false;
  for (const auto& [word, value] : choices) {
    if (text == word) {
      *out = value;
      return true;
    }
  }
  throw_status(object.Env(), failure(Code::invalid_argument, "The value '%s' is not one that %s can have.", text.c_str(), name));
  return false;
}

bool read_float(const Napi::Object& object, const char* name, float* out) {
  double number = 0;
  if (!read_number(object.Get(name), name, &number)) return false;
  *out = static_cast<float>(number);
  return true;
}

bool read_optional_batch(const Napi::Object& object, const char* name, Pins& pins, PackedBatch* out) {
  const Napi::Value value = object.Get(name);
  return value.IsUndefined() || read_batch(value, name, pins, out);
}

template <typename T>
bool read_optional_array(const Napi::Object& object, const char* name, Pins& pins, std::span<const T>* out) {
  const Napi::Value value = object.Get(name);
  if (value.IsUndefined()) return true;
  std::span<T> array;
  if (!read_array(value, name, -1, pins, &array)) return false;
  *out = array;
  return true;
}

bool read_optional_float(const Napi::Object& object, const char* name, float* out) {
  return object.Get(name).IsUndefined() || read_float(object, name, out);
}

bool read_optional_integer(const Napi::Object& object, const char* name, int64_t* out) {
  const Napi::Value value = object.Get(name);
  return value.IsUndefined() || read_integer(value, name, 0, int64_t{1} << 52, out);
}

}  // namespace

bool read_optimizer(const Napi::Value& value, OptimizerOptions* out) {
  if (!value.IsObject()) {
    throw_status(value.Env(), failure(Code::invalid_argument, "Expected optimiser options { kind: 'rmsprop' | 'adamw', ... }."));
    return false;
  }
  using Kind = OptimizerOptions::Kind;
  const auto object = value.As<Napi::Object>();
  return read_choice<Kind>(object, "kind", {{"rmsprop", Kind::rmsprop}, {"adamw", Kind::adamw}}, &out->kind) &&
         read_optional_float(object, "alpha", &out->alpha) && read_optional_float(object, "beta1", &out->beta1) &&
         read_optional_float(object, "beta2", &out->beta2) && read_optional_float(object, "epsilon", &out->epsilon) &&
         read_optional_float(object, "weightDecay", &out->weight_decay);
}

bool read_step_request(const Napi::Value& value, Pins& pins, StepRequest* out) {
  if (!value.IsObject()) {
    throw_status(value.Env(), failure(Code::invalid_argument, "Expected a step request object."));
    return false;
  }
  const auto object = value.As<Napi::Object>();
  std::span<const int32_t> blocks;
  if (!read_choice<StepRequest::Loss>(object, "loss",
                                      {{"none", StepRequest::Loss::none},
                                       {"ce", StepRequest::Loss::ce},
                                       {"dpo", StepRequest::Loss::dpo},
                                       {"npo", StepRequest::Loss::npo}},
                                      &out->loss) ||
      !read_float(object, "weightRepair", &out->weight_repair) || !read_float(object, "weightKl", &out->weight_kl) ||
      !read_boolean(object.Get("sequenceSum"), "sequenceSum", &out->sequence_sum) ||
      !read_optional_batch(object, "chosen", pins, &out->chosen) ||
      !read_optional_batch(object, "rejected", pins, &out->rejected) ||
      !read_optional_array<double>(object, "referenceChosen", pins, &out->reference_chosen) ||
      !read_optional_array<double>(object, "referenceRejected", pins, &out->reference_rejected) ||
      !read_float(object, "beta", &out->beta) || !read_optional_batch(object, "normal", pins, &out->normal) ||
      !read_optional_array<float>(object, "referenceHidden", pins, &out->reference_hidden) ||
      !read_choice<int>(object, "klDirection", {{"forward", MS_KL_FORWARD}, {"reverse", MS_KL_REVERSE}}, &out->kl_direction) ||
      !read_choice<Slice>(object, "slice",
                          {{"all", Slice::all},
                           {"blocks", Slice::blocks},
                           {"most-sensitive", Slice::most_sensitive},
                           {"least-sensitive", Slice::least_sensitive}},
                          &out->slice) ||
      !read_optional_array<int32_t>(object, "blocks", pins, &blocks) ||
      !read_integer(object.Get("sliceCount"), "sliceCount", 1, 1'000'000, &out->slice_count) ||
      !read_optional_batch(object, "sensitivity", pins, &out->sensitivity) ||
      !read_boolean(object.Get("keepGradients"), "keepGradients", &out->keep_gradients) ||
      !read_boolean(object.Get("update"), "update", &out->update) ||
      !read_boolean(object.Get("gradientNorm"), "gradientNorm", &out->gradient_norm) || !read_float(object, "lr", &out->lr) ||
      !read_float(object, "clipNorm", &out->clip_norm) || !read_optional_integer(object, "microBatchTokens", &out->micro_batch_tokens) ||
      !read_optional_integer(object, "memoryBudget", &out->memory_budget) ||
      (!object.Get("checkpoint").IsUndefined() && !read_boolean(object.Get("checkpoint"), "checkpoint", &out->checkpoint))) {
    return false;
  }
  out->blocks.assign(blocks.begin(), blocks.end());
  return true;
}

namespace {

Napi::Float64Array to_array(Napi::Env env, const std::vector<double>& values) {
  Napi::Float64Array out = Napi::Float64Array::New(env, values.size());
  std::copy(values.begin(), values.end(), out.Data());
  return out;
}

Napi::Value to_object(Napi::Env env, const StepResult& r) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("loss", r.loss);
  out.Set("lossRepair", r.loss_repair);
  out.Set("lossKl", r.loss_kl);
  out.Set("gradientNorm", r.gradient_norm);
  out.Set("scoredTokens", static_cast<double>(r.scored_tokens));
  out.Set("tokens", static_cast<double>(r.tokens));
  Napi::Int32Array blocks = Napi::Int32Array::New(env, r.blocks.size());
  std::copy(r.blocks.begin(), r.blocks.end(), blocks.Data());
  out.Set("blocks", blocks);
  out.Set("sensitivities", to_array(env, r.sensitivities));
  out.Set("pairMargins", to_array(env, r.pair_margins));
  out.Set("flops", r.flops);
  out.Set("microBatches", static_cast<double>(r.micro_batches));
  out.Set("checkpointed", r.checkpointed);
  return out;
}

}  // namespace

Napi::Value TrainerObject::make_step_task(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Pins pins;
  StepRequest request;
  if (!alive(env) || !read_step_request(info[0], pins, &request)) return env.Undefined();
  auto result = std::make_shared<StepResult>();
  std::unique_ptr<Task> task;
  if (!succeeded(env, step_task(trainer_, request, result.get(), &task))) return env.Undefined();
  return TaskObject::create(
      env, std::move(task), std::move(pins), [result](Napi::Env e) { return to_object(e, *result); }, result);
}

Napi::Value TrainerObject::forecast(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Pins pins;
  StepRequest request;
  MemoryForecast forecast;
  if (!alive(env) || !read_step_request(info[0], pins, &request) || !succeeded(env, forecast_step(*trainer_, request, &forecast))) return env.Undefined();
  return to_object(env, forecast);
}

Napi::Value TrainerObject::poisoned(const Napi::CallbackInfo& info) {
  if (!alive(info.Env())) return info.Env().Undefined();
  return Napi::Boolean::New(info.Env(), trainer_poisoned(*trainer_));
}

Napi::Value TrainerObject::bytes(const Napi::CallbackInfo& info) {
  if (!alive(info.Env())) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), static_cast<double>(trainer_bytes(*trainer_)));
}

Napi::Value TrainerObject::save_state(const Napi::CallbackInfo& info) {
  std::string path;
  if (alive(info.Env()) && read_string(info[0], "path", &path)) succeeded(info.Env(), save_trainer_state(*trainer_, path));
  return info.Env().Undefined();
}

Napi::Value TrainerObject::load_state(const Napi::CallbackInfo& info) {
  std::string path;
  if (alive(info.Env()) && read_string(info[0], "path", &path)) succeeded(info.Env(), load_trainer_state(*trainer_, path));
  return info.Env().Undefined();
}

Napi::Value TrainerObject::snapshot(const Napi::CallbackInfo& info) {
  if (alive(info.Env())) succeeded(info.Env(), snapshot_weights(*trainer_));
  return info.Env().Undefined();
}

Napi::Value TrainerObject::restore(const Napi::CallbackInfo& info) {
  if (alive(info.Env())) succeeded(info.Env(), restore_weights(*trainer_));
  return info.Env().Undefined();
}

Napi::Value TrainerObject::tensors(const Napi::CallbackInfo& info) {
  if (!alive(info.Env())) return info.Env().Undefined();
  return tensor_list(info.Env(), trained_tensors(*trainer_));
}

// name, out: Float32Array of the tensor's size
Napi::Value TrainerObject::read_gradient(const Napi::CallbackInfo& info) {
  std::string name;
  Pins pins;
  std::span<float> out;
  if (alive(info.Env()) && read_string(info[0], "name", &name) && read_array(info[1], "out", -1, pins, &out))
    succeeded(info.Env(), mendset::read_gradient(*trainer_, name, out));
  return info.Env().Undefined();
}

Napi::Value TrainerObject::save_adapter(const Napi::CallbackInfo& info) {
  std::string path;
  if (alive(info.Env()) && read_string(info[0], "path", &path)) succeeded(info.Env(), mendset::save_adapter(*trainer_, path));
  return info.Env().Undefined();
}

Napi::Value TrainerObject::load_adapter(const Napi::CallbackInfo& info) {
  std::string path;
  if (alive(info.Env()) && read_string(info[0], "path", &path)) succeeded(info.Env(), mendset::load_adapter(*trainer_, path));
  return info.Env().Undefined();
}

Napi::Value TrainerObject::merge_adapter(const Napi::CallbackInfo& info) {
  if (alive(info.Env())) succeeded(info.Env(), mendset::merge_adapter(*trainer_));
  return info.Env().Undefined();
}

Napi::Value TrainerObject::dispose(const Napi::CallbackInfo& info) {
  trainer_.reset();
  return info.Env().Undefined();
}

}  // namespace mendset::addon
