// Who runs the tasks of one operation.
#pragma once

#include <cstdint>

#include "cpu/context.h"

namespace mendset::cpu {

// Below this many scalar operations waking another thread costs more than it saves.
constexpr int64_t kWorthSharing = 200'000;

// Runs body(task, worker) for every task: on the pool, or on the calling thread when `operations` (rough, in all) are few. The
// tasks are the same either way, hence the bits too.
template <typename Body>
void run_tasks(Context& context, int64_t tasks, int64_t operations, Body&& body) {
  if (operations >= kWorthSharing) {
    context.pool.run(tasks, body);
  } else {
    for (int64_t task = 0; task < tasks; ++task) body(task, 0);
  }
}

}  // namespace mendset::cpu
