// What a context of the CPU backend holds. Operations receive it as ms_context* and look at it through `context_of`.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/thread_pool.h"
#include "cpu/isa.h"
#include "mendset/backend.h"

namespace mendset::cpu {

struct Kernels;  // cpu/kernels.h

void* allocate_aligned(size_t bytes) noexcept;  // 64-byte aligned, zeroed; nullptr when there is no room
void free_aligned(void* memory) noexcept;

// Scratch of the running operation. It grows only when an operation starts that needs more than any before it; contents are
// undefined at the start. Blocks are carved by `ScratchPlan`.
class Workspace {
 public:
  ~Workspace() { free_aligned(memory_); }
  Workspace() = default;
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  std::byte* reserve(size_t bytes) noexcept;  // nullptr when there is no room

 private:
  void* memory_ = nullptr;
  size_t bytes_ = 0;
};

// Lays out blocks of scratch, each 64-byte aligned:  plan.add<float>(count) ... workspace.reserve(plan.bytes()) ... base + offset.
class ScratchPlan {
 public:
  template <typename T> size_t add(int64_t count) {
    const size_t offset = bytes_;
    bytes_ += (static_cast<size_t>(count) * sizeof(T) + 63) / 64 * 64;
    return offset;
  }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
};

struct Context {
  Context(int threads, Isa chosen, const Kernels& table) : pool(threads), isa(chosen), kernels(table) {}
  ThreadPool pool;
  Isa isa;
  const Kernels& kernels;
  Workspace workspace;
  char error[256] = "";

  // Records one sentence for last_error and returns `code`.
  int32_t fail(int32_t code, const char* sentence) noexcept;
};

inline Context& context_of(ms_context* context) { return *reinterpret_cast<Context*>(context); }

// For argument checks at the top of an operation: expected(...) or a failure that names what was expected.
#define MS_EXPECT(context, condition) \
  do {                                \
    if (!(condition)) return (context).fail(MS_INVALID_ARGUMENT, "expected " #condition); \
  } while (0)

inline int64_t blocks_of(int64_t count, int64_t block) { return (count + block - 1) / block; }

}  // namespace mendset::cpu
