// A plain list of operations over planned buffers. Stepping, memory, FLOP counts and truncated passes are walks over this list.
#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <variant>
#include <vector>

#include "backend/backend.h"
#include "core/task.h"
#include "model/arena.h"

namespace mendset {

// Host memory must stay in place until the entry has run.
struct Upload {
  void* destination;
  const void* host;
  size_t bytes;
};
struct Download {
  void* host;
  const void* source;
  size_t bytes;
};
// Arithmetic on a few downloaded numbers between operations.
struct HostStep {
  std::function<Status()> call;
};

#define MS_ALTERNATIVE(name) , ms_##name##_args
using Operation = std::variant<Upload, Download, HostStep MS_OPERATIONS(MS_ALTERNATIVE)>;
#undef MS_ALTERNATIVE
// By the operation's place among the alternatives.
extern const std::array<const char*, std::variant_size_v<Operation>> kOperationNames;

struct Entry {
  Operation operation;
  int32_t block;  // -1 outside the blocks
  double flops;
  double bytes;  // read and written, each operand once
};

class Schedule {
 public:
  const std::vector<Entry>& entries() const { return entries_; }
  double flops() const { return flops_; }
  void clear();
  void add(Operation operation, int32_t block, double flops, double bytes);

  // The largest scratch that the backend allocates for one of the entries, as far as it can tell beforehand.
  int64_t scratch_bytes(const Backend& backend) const;

  // Runs entries from *next until the deadline has passed (at least one) or all are done; *next == entries().size() then.
  Status run(const Backend& backend, Deadline deadline, size_t* next) const;

 private:
  // Operations up to the next transfer or host step, handed over as one where the backend takes them so.
  Status run_sequence(const Backend& backend, size_t* next, size_t last) const;

  std::vector<Entry> entries_;
  double flops_ = 0;
};

// What the passes build with: takes memory and appends operations.
class Builder {
 public:
  Builder(Arena& arena, Schedule& schedule) : arena_(arena), schedule_(schedule) {}

  template <typename T>
  T* take(int64_t count) {
    return static_cast<T*>(arena_.take(static_cast<size_t>(count) * sizeof(T)));
  }
  void give(const void* pointer) { arena_.give(pointer); }

  template <typename T>
  T* upload(const std::vector<T>& host) {
    T* device = take<T>(static_cast<int64_t>(host.size()));
    if (!host.empty()) add(Upload{device, host.data(), host.size() * sizeof(T)});
    return device;
  }
  template <typename T>
  void download(T* host, const T* device, int64_t count) {
    if (count > 0) add(Download{host, device, static_cast<size_t>(count) * sizeof(T)});
  }
  void zero(float* device, int64_t count, int32_t block = -1) {
    if (count > 0) add(ms_fill_args{count, 0.0f, device}, block);
  }
  template <typename Args>
  void add(Args args, int32_t block = -1, double flops = -1) {
    Operation operation(std::move(args));
    const Cost cost = cost_of(operation);
    schedule_.add(std::move(operation), block, flops >= 0 ? flops : cost.flops, cost.bytes);
  }

 private:
  struct Cost {
    double flops, bytes;
  };
  static Cost cost_of(const Operation& operation);

  Arena& arena_;
  Schedule& schedule_;
};

// Makes the plan until it fits its memory: once in the steady state, twice when the arena has to grow. `build(Builder&)` must do
// the same each time.
template <typename Build>
Status plan(Arena& arena, Schedule& schedule, Build&& build) {
  bool fits = false;
  while (!fits) {
    arena.begin();
    schedule.clear();
    Builder builder(arena, schedule);
    build(builder);
    MS_TRY(arena.settle(&fits));
  }
  return {};
}

// What a plan needs, without making it.
struct PlannedMemory {
  int64_t bytes = 0;          // of the arena
  int64_t scratch_bytes = 0;  // of the backend
  double flops = 0;

  // Another plan runs after this one.
  void cover(const PlannedMemory& other) {
    bytes = std::max(bytes, other.bytes);
    scratch_bytes = std::max(scratch_bytes, other.scratch_bytes);
    flops += other.flops;
  }
};

template <typename Build>
PlannedMemory plan_memory(const Backend& backend, Build&& build) {
  Arena arena(nullptr);
  Schedule schedule;
  Builder builder(arena, schedule);
  build(builder);
  return {static_cast<int64_t>(arena.peak()), schedule.scratch_bytes(backend), schedule.flops()};
}

}  // namespace mendset
