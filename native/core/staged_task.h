// A task that is a sequence of stages, each worked off in chunks: a stage is a member function that does one chunk and, when its last is
// done, enters the next.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/task.h"

namespace mendset {

class StagedTask : public Task {
 public:
  Status step(Deadline deadline) final {
    do {
      MS_TRY((this->*stage_)());
    } while (stage_ != nullptr && !deadline.passed());
    return {};
  }

 protected:
  template <typename T> void enter(Status (T::*stage)()) {
    stage_ = static_cast<Stage>(stage);
    next_row_ = 0;
  }
  void end() { stage_ = nullptr; }
  bool ended() const { return stage_ == nullptr; }
  // Rows that the current stage has worked off.
  int64_t rows_done() const { return next_row_; }

  struct Chunk {
    int64_t first, last;
    bool final;  // last == n; the next chunk begins anew
    int64_t rows() const { return last - first; }
  };
  // The next rows of the current stage's pass over n rows.
  Chunk next_chunk(int64_t n, int64_t rows) {
    const Chunk chunk{next_row_, std::min(n, next_row_ + rows), next_row_ + rows >= n};
    next_row_ = chunk.final ? 0 : chunk.last;
    return chunk;
  }

 private:
  using Stage = Status (StagedTask::*)();
  Stage stage_ = nullptr;
  int64_t next_row_ = 0;
};

}  // namespace mendset
