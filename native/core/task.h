// Long work is a task driven in bounded steps: see docs/decisions/0001-stepped-tasks.md.
#pragma once

#include <chrono>

#include "core/status.h"

namespace mendset {

// When a step should return. Checked between chunks of work; a chunk is chosen by the problem, never by the clock, so where a
// step ends cannot change a result.
class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  static Deadline after_ms(double budget_ms) {
    if (!(budget_ms < 1e12)) return Deadline(Clock::time_point::max());
    return Deadline(Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double, std::milli>(budget_ms < 0 ? 0 : budget_ms)));
  }
  static Deadline never() { return Deadline(Clock::time_point::max()); }
  bool passed() const { return limit_ != Clock::time_point::max() && Clock::now() >= limit_; }

 private:
  explicit Deadline(Clock::time_point limit) : limit_(limit) {}
  Clock::time_point limit_;
};

struct Progress {
  double done = 0;   // in units of the task's own choice, monotone
  double total = 1;  // done == total exactly when finished
  bool finished = false;
};

class Task {
 public:
  virtual ~Task() = default;
  // Works until the deadline has passed (at least one chunk) or everything is done. Not called again after failure or finish.
  virtual Status step(Deadline deadline) = 0;
  virtual Progress progress() const = 0;

  Status run() {
    while (!progress().finished) MS_TRY(step(Deadline::never()));
    return {};
  }
};

}  // namespace mendset
