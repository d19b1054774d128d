#include "addon/model_object.h"

#include <utility>

#include "addon/arguments.h"
#include "addon/environment.h"
#include "backend/backend.h"

namespace mendset::addon {

Napi::Object ModelObject::create(Napi::Env env, std::shared_ptr<Model> model) {
  return Environment::of(env).model_class.New({Napi::External<std::shared_ptr<Model>>::New(env, &model)});
}

void ModelObject::define(Napi::Env env) {
  Environment::of(env).model_class = Napi::Persistent(DefineClass(
      env, "NativeModel",
      {InstanceMethod<&ModelObject::summary>("summary"), InstanceMethod<&ModelObject::tensor_list>("tensors"),
       InstanceMethod<&ModelObject::read_values>("readTensor"), InstanceMethod<&ModelObject::write_values>("writeTensor"),
       InstanceMethod<&ModelObject::copy>("copy"),
       InstanceMethod<&ModelObject::take_weights>("takeWeights"), InstanceMethod<&ModelObject::dispose>("dispose")}));
}

ModelObject::ModelObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ModelObject>(info) {
  if (info.Length() != 1 || !info[0].IsExternal()) {
    throw_status(info.Env(),
                 failure(Code::invalid_argument, "A native model is made by loadModelTask or createModel, not by `new`."));
    return;
  }
  model_ = *info[0].As<Napi::External<std::shared_ptr<Model>>>().Data();
  reported_bytes_ = summarize(*model_).bytes;
  Napi::MemoryManagement::AdjustExternalMemory(info.Env(), reported_bytes_);
}

void ModelObject::Finalize(Napi::Env env) { release(env); }

void ModelObject::release(Napi::Env env) {
  if (!model_) return;
  model_.reset();
  Napi::MemoryManagement::AdjustExternalMemory(env, -reported_bytes_);
}

bool ModelObject::alive(Napi::Env env) const {
  if (model_) return true;
  throw_status(env, failure(Code::invalid_argument, "The model has been disposed."));
  return false;
}

bool ModelObject::read(const Napi::Value& value, const char* name, std::shared_ptr<Model>* out) {
  Napi::Env env = value.Env();
  if (!value.IsObject() || !value.As<Napi::Object>().InstanceOf(Environment::of(env).model_class.Value())) {
    throw_status(env, failure(Code::invalid_argument, "Expected a native model for %s.", name));
    return false;
  }
  ModelObject* object = Unwrap(value.As<Napi::Object>());
  if (!object->alive(env)) return false;
  *out = object->model_;
  return true;
}

Napi::Value ModelObject::summary(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!alive(env)) return env.Undefined();
  const ModelSummary s = summarize(*model_);
  Napi::Object out = Napi::Object::New(env);
  out.Set("family", s.family);
  out.Set("layers", static_cast<double>(s.layers));
  out.Set("width", static_cast<double>(s.width));
  out.Set("heads", static_cast<double>(s.heads));
  out.Set("vocab", static_cast<double>(s.vocab));
  out.Set("context", static_cast<double>(s.context));
  out.Set("parameters", static_cast<double>(s.parameters));
  out.Set("bytes", static_cast<double>(s.bytes));
  out.Set("eos", static_cast<double>(s.eos));
  out.Set("tiedHead", s.tied_head);
  out.Set("storedDtype", s.stored_dtype);
  out.Set("heldDtype", s.held_dtype);
  out.Set("labels", static_cast<double>(s.labels));
  const Backend& backend = model_backend(*model_);
  out.Set("backend", backend.name());
  out.Set("device", backend.device());
  out.Set("threads", backend.threads());
  return out;
}

Napi::Array tensor_list(Napi::Env env, const std::vector<TensorInfo>& list) {
  Napi::Array out = Napi::Array::New(env, list.size());
  for (size_t i = 0; i < list.size(); ++i) {
    Napi::Object entry = Napi::Object::New(env);
    Napi::Array shape = Napi::Array::New(env, list[i].shape.size());
    for (size_t j = 0; j < list[i].shape.size(); ++j) shape.Set(static_cast<uint32_t>(j), static_cast<double>(list[i].shape[j]));
    entry.Set("name", list[i].name);
    entry.Set("shape", shape);
    entry.Set("count", static_cast<double>(list[i].count));
    entry.Set("block", static_cast<double>(list[i].block));
    out.Set(static_cast<uint32_t>(i), entry);
  }
  return out;
}

Napi::Value ModelObject::tensor_list(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!alive(env)) return env.Undefined();
  return addon::tensor_list(env, tensors(*model_));
}

Napi::Value ModelObject::read_values(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Pins pins;
  std::string name;
  std::span<float> values;
  if (!alive(env) || !read_string(info[0], "name", &name) || !read_array(info[1], "out", -1, pins, &values))
    return env.Undefined();
  succeeded(env, read_tensor(*model_, name, values));
  return env.Undefined();
}

Napi::Value ModelObject::write_values(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Pins pins;
  std::string name;
  std::span<float> values;
  if (!alive(env) || !read_string(info[0], "name", &name) || !read_array(info[1], "values", -1, pins, &values))
    return env.Undefined();
  succeeded(env, write_tensor(*model_, name, values));
  return env.Undefined();
}

Napi::Value ModelObject::copy(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::shared_ptr<Model> other;
  if (!alive(env) || !succeeded(env, copy_model(model_, &other))) return env.Undefined();
  return create(env, std::move(other));
}

Napi::Value ModelObject::take_weights(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::shared_ptr<Model> from;
  if (alive(env) && read(info[0], "from", &from)) succeeded(env, mendset::take_weights(*model_, *from));
  return env.Undefined();
}

Napi::Value ModelObject::dispose(const Napi::CallbackInfo& info) {
  release(info.Env());
  return info.Env().Undefined();
}

}  // namespace mendset::addon
