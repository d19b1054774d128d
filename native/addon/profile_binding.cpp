// What operations cost while a profile is taken: of one backend in each environment.
#include "addon/profile_binding.h"

#include <memory>
#include <utility>

#include "addon/arguments.h"
#include "addon/environment.h"
#include "addon/task_object.h"
#include "backend/probe.h"
#include "model/schedule.h"

namespace mendset::addon {

namespace {

// The running profile; throws without one, and during a step, which writes to it from another thread.
OperationProfile* running(Napi::Env env) {
  const Environment& environment = Environment::of(env);
  if (environment.stepping) {
    throw_status(env, failure(Code::invalid_argument, "Expected no step under way while the profile is read: await it first."));
    return nullptr;
  }
  if (environment.profiled && environment.profiled->profile() != nullptr) return environment.profiled->profile();
  throw_status(env, failure(Code::invalid_argument, "Expected a profile that was started before."));
  return nullptr;
}

void set_total(Napi::Object object, const OperationProfile::Total& total) {
  object.Set("calls", static_cast<double>(total.calls));
  object.Set("seconds", total.seconds);
  object.Set("flops", total.flops);
  object.Set("bytes", total.bytes);
}

// backend, threads, mostSpans
Napi::Value start_profile(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::shared_ptr<Backend> backend;
  int64_t most_spans = 0;
  if (!open_backend(info[0], info[1], &backend) || !read_integer(info[2], "mostSpans", 0, 100'000'000, &most_spans))
    return env.Undefined();
  Environment& environment = Environment::of(env);
  if (environment.stepping || environment.profiled) {
    throw_status(env, failure(Code::invalid_argument, "Expected no step under way and no other profile."));
    return env.Undefined();
  }
  backend->set_profile(std::make_unique<OperationProfile>(kOperationNames.size(), static_cast<size_t>(most_spans)));
  environment.profiled = std::move(backend);
  return env.Undefined();
}

Napi::Value profile_totals(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const OperationProfile* profile = running(env);
  if (profile == nullptr) return env.Undefined();
  Napi::Object out = Napi::Object::New(env);
  set_total(out, profile->all());
  out.Set("allocations", static_cast<double>(profile->allocations()));
  out.Set("allocatedBytes", profile->allocated_bytes());
  return out;
}

Napi::Value end_profile(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const OperationProfile* profile = running(env);
  if (profile == nullptr) return env.Undefined();
  Napi::Array operations = Napi::Array::New(env);
  for (size_t i = 0; i < kOperationNames.size(); ++i) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", kOperationNames[i]);
    set_total(entry, profile->operations()[i]);
    operations.Set(static_cast<uint32_t>(i), entry);
  }
  const size_t spans = profile->spans().size();
  Napi::Float64Array times = Napi::Float64Array::New(env, 2 * spans);
  Napi::Int32Array places = Napi::Int32Array::New(env, 2 * spans);
  for (size_t i = 0; i < spans; ++i) {
    const OperationProfile::Span& span = profile->spans()[i];
    times[2 * i] = span.begin;
    times[2 * i + 1] = span.seconds;
    places[2 * i] = span.operation;
    places[2 * i + 1] = span.block;
  }
  Napi::Object out = Napi::Object::New(env);
  out.Set("operations", operations);
  out.Set("spanTimes", times);
  out.Set("spanPlaces", places);
  out.Set("recordingSeconds", OperationProfile::recording_seconds() * static_cast<double>(profile->all().calls));
  out.Set("spansLeftOut", static_cast<double>(profile->spans_left_out()));
  Environment& environment = Environment::of(env);
  environment.profiled->set_profile(nullptr);
  environment.profiled.reset();
  return out;
}

// backend, threads
Napi::Value probe(const Napi::CallbackInfo& info) {
  std::shared_ptr<Backend> backend;
  if (!open_backend(info[0], info[1], &backend)) return info.Env().Undefined();
  auto result = std::make_shared<Probe>();
  return TaskObject::create(
      info.Env(), probe_task(std::move(backend), result.get()), {},
      [result](Napi::Env e) -> Napi::Value {
        Napi::Object out = Napi::Object::New(e);
        out.Set("flopsPerSecond", result->flops_per_second);
        out.Set("bytesPerSecond", result->bytes_per_second);
        return out;
      },
      result);
}

}  // namespace

void register_profile(Napi::Env env, Napi::Object exports) {
  exports.Set("startProfile", Napi::Function::New<start_profile>(env, "startProfile"));
  exports.Set("probeTask", Napi::Function::New<probe>(env, "probeTask"));
  exports.Set("profileTotals", Napi::Function::New<profile_totals>(env, "profileTotals"));
  exports.Set("endProfile", Napi::Function::New<end_profile>(env, "endProfile"));
}

}  // namespace mendset::addon
