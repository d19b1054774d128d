// Entry point of the addon: what it says about itself, and the registration of everything else.
#include "addon/arguments.h"
#include "addon/encoder_binding.h"
#include "addon/environment.h"
#include "addon/mapped_file.h"
#include "addon/model_object.h"
#include "addon/profile_binding.h"
#include "addon/select_binding.h"
#include "addon/score_binding.h"
#include "addon/task_object.h"
#include "backend/backend.h"
#include "core/thread_pool.h"
#include "cpu/isa.h"

namespace mendset::addon {
namespace {

Napi::Value engine_info(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Object out = Napi::Object::New(env);
#if defined(__clang__)
  out.Set("compiler", "clang " __clang_version__);
#elif defined(__GNUC__)
  out.Set("compiler", "gcc " __VERSION__);
#else
  out.Set("compiler", "unknown");
#endif
  cpu::Isa isa{};
  if (!succeeded(env, cpu::choose_isa(&isa))) return env.Undefined();
  out.Set("isa", cpu::isa_name(isa));
  Napi::Array available = Napi::Array::New(env);
  for (cpu::Isa each : {cpu::Isa::generic, cpu::Isa::avx2, cpu::Isa::avx512, cpu::Isa::neon}) {
    if (cpu::isa_available(each)) available.Set(available.Length(), cpu::isa_name(each));
  }
  out.Set("isasAvailable", available);
  out.Set("threads", ThreadPool::default_threads());
  Napi::Array backends = Napi::Array::New(env);
  for (const BackendReport& report : report_backends()) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", report.name);
    entry.Set("usable", report.usable);
    entry.Set("detail", report.detail);
    backends.Set(backends.Length(), entry);
  }
  out.Set("backends", backends);
  return out;
}

Napi::Value open_backend_plugin(const Napi::CallbackInfo& info) {
  std::string path;
  if (read_string(info[0], "path", &path)) succeeded(info.Env(), open_plugin(path));
  return info.Env().Undefined();
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Environment());  // deleted by Node with the environment
  TaskObject::define(env);
  exports.Set("info", Napi::Function::New<engine_info>(env, "info"));
  exports.Set("openPlugin", Napi::Function::New<open_backend_plugin>(env, "openPlugin"));
  register_model(env, exports);
  register_encoder(env, exports);
  register_forecast(env, exports);
  register_selection(env, exports);
  register_scores(env, exports);
  register_profile(env, exports);
  register_mapped_file(env, exports);
  return exports;
}

}  // namespace
}  // namespace mendset::addon

static Napi::Object initialize_module(Napi::Env env, Napi::Object exports) { return mendset::addon::initialize(env, exports); }
NODE_API_MODULE(mendset, initialize_module)
