// What the addon keeps for each JavaScript environment (main thread, worker thread): constructors, opened backends, the step queue.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "addon/node.h"
#include "backend/backend.h"

namespace mendset::addon {

class StepWorker;

struct Environment {
  Napi::FunctionReference task_class, model_class, trainer_class;
  // Steps run one at a time and in order, so that one libuv thread coordinates and fs, dns and crypto keep theirs.
  std::deque<StepWorker*> waiting;
  bool stepping = false;
  // The backend whose operations are timed, or none.
  std::shared_ptr<Backend> profiled;
  static Environment& of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

  // Models of one environment share a backend (and its thread pool) when name and thread count are equal.
  Status backend(const std::string& name, int threads, std::shared_ptr<Backend>* out);

 private:
  std::map<std::pair<std::string, int>, std::shared_ptr<Backend>> backends_;
};

}  // namespace mendset::addon
