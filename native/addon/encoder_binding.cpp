#include "addon/encoder_binding.h"

#include <utility>

#include "addon/arguments.h"
#include "addon/model_object.h"
#include "addon/task_object.h"
#include "model/encoder.h"

namespace mendset::addon {
namespace {

// directory, withClassifier, backend, threads
Napi::Value load_encoder(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string directory;
  bool with_classifier = false;
  std::shared_ptr<Backend> backend;
  if (!read_string(info[0], "directory", &directory) || !read_boolean(info[1], "withClassifier", &with_classifier) ||
      !open_backend(info[2], info[3], &backend)) {
    return env.Undefined();
  }
  auto model = std::make_shared<std::shared_ptr<Model>>();
  std::unique_ptr<Task> task;
  if (!succeeded(env, load_encoder_task(backend, directory, with_classifier, model.get(), &task))) return env.Undefined();
  return TaskObject::create(
      env, std::move(task), {}, [model](Napi::Env e) -> Napi::Value { return ModelObject::create(e, *model); }, model);
}

bool read_pooling(const Napi::Value& value, Pooling* out) {
  std::string name;
  if (!read_string(value, "pooling", &name)) return false;
  if (name == "mean" || name == "cls" || name == "lasttoken") {
    *out = name == "mean" ? Pooling::mean : name == "cls" ? Pooling::first : Pooling::last;
    return true;
  }
  throw_status(value.Env(), failure(Code::invalid_argument, "Expected the pooling 'mean', 'cls' or 'lasttoken' but received '%s'.", name.c_str()));
  return false;
}

// model, batch, { hidden, pooled, pooling, normalize, logits }
Napi::Value encode(const Napi::CallbackInfo& info) {
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
  EncoderOutputs outputs;
  if (!read_output(object, "hidden", batch.tokens() * summary.width, pins, &outputs.hidden) ||
      !read_output(object, "pooled", batch.samples() * summary.width, pins, &outputs.pooled) ||
      !read_output(object, "logits", batch.samples() * summary.labels, pins, &outputs.logits)) {
    return env.Undefined();
  }
  if (outputs.pooled != nullptr &&
      (!read_pooling(object.Get("pooling"), &outputs.pooling) || !read_boolean(object.Get("normalize"), "normalize", &outputs.normalize))) {
    return env.Undefined();
  }
  std::unique_ptr<Task> task;
  if (!succeeded(env, encode_task(model, batch, outputs, &task))) return env.Undefined();
  return TaskObject::create(env, std::move(task), std::move(pins));
}

}  // namespace

void register_encoder(Napi::Env env, Napi::Object exports) {
  exports.Set("loadEncoderTask", Napi::Function::New<load_encoder>(env, "loadEncoderTask"));
  exports.Set("encodeTask", Napi::Function::New<encode>(env, "encodeTask"));
}

}  // namespace mendset::addon
