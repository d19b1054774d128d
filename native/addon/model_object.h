// The JavaScript faces of Model and Trainer.
#pragma once

#include <memory>
#include <optional>

#include "addon/arguments.h"
#include "addon/node.h"
#include "model/language_model.h"

namespace mendset::addon {

class ModelObject : public Napi::ObjectWrap<ModelObject> {
 public:
  static Napi::Object create(Napi::Env env, std::shared_ptr<Model> model);
  static void define(Napi::Env env);
  explicit ModelObject(const Napi::CallbackInfo& info);
  void Finalize(Napi::Env env) override;

  // The model behind a JavaScript value; false, and thrown, when it is no model or has been disposed.
  static bool read(const Napi::Value& value, const char* name, std::shared_ptr<Model>* out);

 private:
  Napi::Value summary(const Napi::CallbackInfo& info);
  Napi::Value tensor_list(const Napi::CallbackInfo& info);
  Napi::Value read_values(const Napi::CallbackInfo& info);
  Napi::Value write_values(const Napi::CallbackInfo& info);
  Napi::Value copy(const Napi::CallbackInfo& info);
  Napi::Value take_weights(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);
  bool alive(Napi::Env env) const;
  void release(Napi::Env env);

  std::shared_ptr<Model> model_;
  int64_t reported_bytes_ = 0;
};

// [{ name, shape, count, block }]
Napi::Array tensor_list(Napi::Env env, const std::vector<TensorInfo>& list);

class TrainerObject : public Napi::ObjectWrap<TrainerObject> {
 public:
  static Napi::Object create(Napi::Env env, std::shared_ptr<Trainer> trainer);
  static void define(Napi::Env env);
  explicit TrainerObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value make_step_task(const Napi::CallbackInfo& info);
  Napi::Value forecast(const Napi::CallbackInfo& info);
  Napi::Value poisoned(const Napi::CallbackInfo& info);
  Napi::Value bytes(const Napi::CallbackInfo& info);
  Napi::Value save_state(const Napi::CallbackInfo& info);
  Napi::Value load_state(const Napi::CallbackInfo& info);
  Napi::Value snapshot(const Napi::CallbackInfo& info);
  Napi::Value restore(const Napi::CallbackInfo& info);
  Napi::Value tensors(const Napi::CallbackInfo& info);
  Napi::Value read_gradient(const Napi::CallbackInfo& info);
  Napi::Value save_adapter(const Napi::CallbackInfo& info);
  Napi::Value load_adapter(const Napi::CallbackInfo& info);
  Napi::Value merge_adapter(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);
  bool alive(Napi::Env env) const;

  std::shared_ptr<Trainer> trainer_;
};

// Readers shared by the functions on models; false, and thrown, for wrong arguments.
// null: no adapter
bool read_adapter_options(const Napi::Value& value, std::optional<AdapterOptions>* out);
bool read_optimizer(const Napi::Value& value, OptimizerOptions* out);
bool read_step_request(const Napi::Value& value, Pins& pins, StepRequest* out);
Napi::Object to_object(Napi::Env env, const MemoryForecast& forecast);

// forecastMemory
void register_forecast(Napi::Env env, Napi::Object exports);
// loadModelTask, createModel, saveModelTask, scoreTask, gradientNormTask, gradientTask, createTrainer, generateTask
void register_model(Napi::Env env, Napi::Object exports);

}  // namespace mendset::addon
