// What a context of the CUDA backend holds. Memory, transfers and launches go through the functions below, which have a second
// implementation over host memory (emulation/) for tests without a GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "cuda/device.h"
#include "cuda/precision.h"

namespace mendset::cuda {

struct BlasLt;  // blas_lt.h
struct Device;  // stream and staging memory: device_runtime.cu
class RoundedWeights;  // rounded_weights.h
class Sequences;  // sequence.h

// The operand that an operation left at the beginning of the workspace: these rows, rounded, with depth contiguous. The next operation, and only that one,
// may find it there (kept_rows.h).
struct KeptRows {
  const float* data = nullptr;  // null: nothing
  int64_t ld = 0, rows = 0, depth = 0;
  int32_t activation = 0;
  bool operator==(const KeptRows&) const = default;
};

struct Context {
  Context();
  ~Context();
  std::recursive_mutex mutex;  // held by every call of the table but those that only wait
  Precision precision = Precision::fp32;
  Device* device = nullptr;
  BlasLt* blas = nullptr;         // null: own matrix products
  int multiprocessors = 1;
  bool tensor_cores = false;      // compute capability 8.0 or later
  bool cooperative = false;       // the blocks of a kernel can wait for each other
  size_t shared_per_block = 0;    // most dynamic shared memory of one block
  std::byte* workspace = nullptr;
  size_t workspace_bytes = 0;
  KeptRows left, found;           // by the running operation for the next one; by the operation before for the running one
  int64_t found_count = 0;        // operands that did not have to be made again
  bool measuring = false;         // nothing runs; `reserve` notes the most that was asked for
  size_t measured = 0;
  bool waits = false;             // MENDSET_CUDA_SYNC: every operation ends synchronised
  std::unique_ptr<Sequences> sequences;  // null: MENDSET_CUDA_GRAPHS=off, or every operation waits
  std::unique_ptr<RoundedWeights> weights;  // null: other arithmetic than bf16, or MENDSET_CUDA_WEIGHTS=off
  const char* last_operation = "none";
  char description[1024] = "";
  char error[1024] = "";
};
inline Context& context_of(ms_context* context) { return *reinterpret_cast<Context*>(context); }

// Records one sentence for last_error and returns `code`.
int32_t fail(Context& context, int32_t code, const char* format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;

// Device memory for the running operation, kept and grown as needed. Contents are undefined.
int32_t reserve(Context& context, size_t bytes, std::byte** out);

// Lays out blocks of device scratch, each 256-byte aligned.
class ScratchPlan {
 public:
  template <typename T>
  size_t add(int64_t count) {
    const size_t offset = bytes_;
    bytes_ += round_up<size_t>(static_cast<size_t>(count) * sizeof(T), 256);
    return offset;
  }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
};
template <typename T>
T* at(std::byte* base, size_t offset) {
  return reinterpret_cast<T*>(base + offset);
}

// The arithmetic of products: MENDSET_CUDA_PRECISION, else bf16 where the device has it.
int32_t choose_precision(Context& context);
// Whether operations that come again are replayed: MENDSET_CUDA_GRAPHS, MENDSET_CUDA_SYNC.
void choose_waits(Context& context);

// Whether rounded weights are kept: MENDSET_CUDA_WEIGHTS.
void choose_weights(Context& context);

int32_t probe_device(char* reason, size_t reason_size);
int32_t open_device(Context& context, int32_t threads);
void close_device(Context& context);
int32_t allocate(Context& context, size_t bytes, void** out);      // zeroed
int32_t allocate_raw(Context& context, size_t bytes, void** out);  // contents undefined
void release(Context& context, void* memory);
// Of `allocate`, the one that a place lies in.
struct Allocation {
  std::byte* begin = nullptr;
  size_t bytes = 0;
};
bool find_allocation(Context& context, const void* place, Allocation* out);
// Memory that nothing needs: how much there is, and some of it (contents undefined), null when it cannot be had.
size_t spare_bytes(Context& context);
std::byte* allocate_spare(Context& context, size_t bytes);
int32_t upload(Context& context, void* destination, const void* host, size_t bytes);
int32_t download(Context& context, void* host, const void* source, size_t bytes);
int32_t copy(Context& context, void* destination, const void* source, size_t bytes);
int32_t zero(Context& context, void* destination, size_t bytes);
int32_t synchronize(Context& context);
// After a launch: its error, if any.
int32_t check_launch(Context& context);
// The scratch that an operation would take: the operation itself with nothing running.
int64_t measure_scratch(Context& context, int32_t operation, const void* args);
// Emulation only, with MENDSET_EMULATION_STRICT: no operand may lie in ordinary memory. Words are judged by their look: padding may be taken for one.
int32_t check_operands(Context& context, const void* args, size_t bytes);
// Begins an operation: it may find what the one before has left. `args`: of its kind, `bytes` of them.
void begin_operation(Context& context, int32_t operation, const void* args, size_t bytes);
// Ends an operation: with MENDSET_CUDA_SYNC set it waits, so that a failing kernel is named by its operation.
int32_t finish_operation(Context& context, const char* name, int32_t result);

#define MS_CUDA_TRY(expression)                         \
  do {                                                  \
    const int32_t ms_result = (expression);             \
    if (ms_result != MS_OK) return ms_result;           \
  } while (0)

}  // namespace mendset::cuda
