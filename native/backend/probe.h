// What a backend reaches on this machine: the yardstick of a profile.
#pragma once

#include <memory>

#include "backend/backend.h"
#include "core/task.h"

namespace mendset {

struct Probe {
  double flops_per_second = 0;  // of a matrix product large enough for every core and small enough for the caches
  double bytes_per_second = 0;  // of reading memory that is larger than the caches, once, in order
};

// The best of several rounds of either, about a second together. `result` must outlive the task.
std::unique_ptr<Task> probe_task(std::shared_ptr<Backend> backend, Probe* result);

}  // namespace mendset
