#include "addon/task_object.h"

#include <cstring>
#include <new>
#include <utility>

#include "addon/environment.h"

namespace mendset::addon {

// One step on a libuv thread. The task object is referenced until the step has ended.
class StepWorker : public Napi::AsyncWorker {
 public:
  StepWorker(Napi::Env env, TaskObject* object, double budget_ms)
      : Napi::AsyncWorker(env, "mendset.step"), deferred_(env), object_(object), budget_ms_(budget_ms) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

  static void enqueue(Napi::Env env, StepWorker* worker) {
    Environment& environment = Environment::of(env);
    environment.waiting.push_back(worker);
    start_next(env);
  }

 protected:
  void Execute() override {
    try {
      status_ = object_->task_->step(Deadline::after_ms(budget_ms_));
      progress_ = object_->task_->progress();
    } catch (const std::bad_alloc&) {
      status_ = Status(Code::out_of_memory, "Not enough memory for this step: use smaller batches or fewer rows.");
    }
  }

  void OnOK() override { finish(Env()); }
  void OnError(const Napi::Error&) override { finish(Env()); }

 private:
  static void start_next(Napi::Env env) {
    Environment& environment = Environment::of(env);
    if (environment.stepping || environment.waiting.empty()) return;
    StepWorker* worker = environment.waiting.front();
    environment.waiting.pop_front();
    environment.stepping = true;
    worker->Queue();
  }

  void finish(Napi::Env env) {
    Napi::HandleScope scope(env);
    Environment::of(env).stepping = false;
    object_->in_step_ = false;
    if (!status_.ok()) object_->failed_ = true;
    if (object_->disposed_) object_->release();
    if (status_.ok()) {
      Napi::Object value = Napi::Object::New(env);
      value.Set("done", progress_.done);
      value.Set("total", progress_.total);
      value.Set("finished", progress_.finished);
      deferred_.Resolve(value);
    } else {
      deferred_.Reject(make_error(env, status_).Value());
    }
    object_->Unref();
    start_next(env);
  }

  Napi::Promise::Deferred deferred_;
  TaskObject* object_;
  double budget_ms_;
  Status status_;
  Progress progress_;
};

// Gives a task's memory back on a libuv thread: unmapping some GiB would hold the event loop.
class ReleaseWorker : public Napi::AsyncWorker {
 public:
  ReleaseWorker(Napi::Env env, std::unique_ptr<Task> task, std::shared_ptr<void> keep)
      : Napi::AsyncWorker(env, "mendset.release"), task_(std::move(task)), keep_(std::move(keep)) {}

 protected:
  void Execute() override { task_.reset(); }

 private:
  std::unique_ptr<Task> task_;
  std::shared_ptr<void> keep_;  // let go on the JavaScript thread, which deletes the worker
};

namespace {
struct Parts {
  std::unique_ptr<Task> task;
  Pins pins;
  TaskObject::Result result;
  std::shared_ptr<void> keep;
};
}  // namespace

Napi::Value TaskObject::create(Napi::Env env, std::unique_ptr<Task> task, Pins pins, Result result, std::shared_ptr<void> keep) {
  Parts parts{std::move(task), std::move(pins), std::move(result), std::move(keep)};
  return Environment::of(env).task_class.New({Napi::External<Parts>::New(env, &parts)});
}

void TaskObject::define(Napi::Env env) {
  Napi::Function constructor = DefineClass(env, "NativeTask",
                                           {InstanceMethod<&TaskObject::step>("step"), InstanceMethod<&TaskObject::dispose>("dispose"),
                                            InstanceMethod<&TaskObject::result>("result")});
  Environment::of(env).task_class = Napi::Persistent(constructor);
}

TaskObject::TaskObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<TaskObject>(info) {
  if (info.Length() != 1 || !info[0].IsExternal()) {
    throw_status(info.Env(), failure(Code::invalid_argument, "A native task is made by the functions of the addon, not by `new`."));
    disposed_ = true;
    return;
  }
  Parts* parts = info[0].As<Napi::External<Parts>>().Data();
  task_ = std::move(parts->task);
  pins_ = std::move(parts->pins);
  result_ = std::move(parts->result);
  keep_ = std::move(parts->keep);
}

Napi::Value TaskObject::step(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  double budget_ms = 0;
  if (!read_number(info[0], "budgetMs", &budget_ms)) return env.Undefined();
  const char* refusal = disposed_                        ? "The task has been disposed."
                        : in_step_                       ? "The task's previous step has not ended: await it first."
                        : failed_                        ? "The task has failed: start a new one."
                        : task_->progress().finished     ? "The task has finished."
                                                         : nullptr;
  if (refusal != nullptr) {
    Napi::Promise::Deferred deferred(env);
    deferred.Reject(make_error(env, Status(Code::invalid_argument, refusal)).Value());
    return deferred.Promise();
  }
  in_step_ = true;
  Ref();
  auto* worker = new StepWorker(env, this, budget_ms);  // deletes itself when done
  Napi::Promise promise = worker->promise();
  StepWorker::enqueue(env, worker);
  return promise;
}

Napi::Value TaskObject::dispose(const Napi::CallbackInfo& info) {
  disposed_ = true;
  if (!in_step_) release();
  return info.Env().Undefined();
}

Napi::Value TaskObject::result(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (disposed_ || !result_ || failed_ || in_step_ || !task_->progress().finished) {
    throw_status(env, failure(Code::invalid_argument, "A task has a result once: after it has finished and before it is disposed."));
    return env.Undefined();
  }
  return std::exchange(result_, nullptr)(env);
}

void TaskObject::release() {
  if (task_) (new ReleaseWorker(Env(), std::move(task_), keep_))->Queue();  // deletes itself when done
  result_ = nullptr;
  pins_.clear();
  keep_.reset();
}

}  // namespace mendset::addon
