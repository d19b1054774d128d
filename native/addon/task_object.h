// The JavaScript face of a Task: step(budgetMs) -> Promise<{ done, total, finished }>, dispose(), result() -> its value.
#pragma once

#include <functional>
#include <memory>

#include "addon/arguments.h"
#include "addon/node.h"
#include "core/task.h"

namespace mendset::addon {

class TaskObject : public Napi::ObjectWrap<TaskObject> {
 public:
  // What `result()` returns once the task has finished; runs on the JavaScript thread.
  using Result = std::function<Napi::Value(Napi::Env)>;

  // Wraps a task together with the arrays that it borrows and whatever must outlive it (`keep`).
  static Napi::Value create(Napi::Env env, std::unique_ptr<Task> task, Pins pins, Result result = nullptr, std::shared_ptr<void> keep = nullptr);

  static void define(Napi::Env env);
  explicit TaskObject(const Napi::CallbackInfo& info);

 private:
  friend class StepWorker;
  Napi::Value step(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);
  Napi::Value result(const Napi::CallbackInfo& info);
  void release();

  std::unique_ptr<Task> task_;
  Pins pins_;
  Result result_;
  std::shared_ptr<void> keep_;
  bool in_step_ = false, disposed_ = false, failed_ = false;
};

}  // namespace mendset::addon
