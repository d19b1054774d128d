// A device that is host memory and kernels that run on the processor. The context's thread count chooses the order in which the threads of a
// block run between barriers (1 ascending, 2 descending, else shuffled), so that the contract's "same bits for any number of threads" finds missing
// barriers. Scratch starts as NaN patterns, and device memory may be touched by kernels and transfers alone: the host faults.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <new>
#include <utility>
#include <vector>

#include "cuda/blas_lt.h"
#include "cuda/context.h"
#include "cuda/launch.h"
#include "cuda/sequence.h"

namespace mendset::cuda {

struct Piece {
  char* memory;
  size_t bytes;  // whole pages
};
struct Device {
  cuda_emulation::Order order;
  bool strict;
  std::vector<Piece> pieces;
  Recording* recording = nullptr;  // where launches are noted instead of run
};

// Addresses and scalars as they were when it was recorded.
struct Recording {
  std::vector<std::function<void()>> work;
};

// Device memory may be touched by kernels and transfers alone.
static void expose_memory(Context& context, bool exposed) {
  for (const Piece& piece : context.device->pieces) (void)mprotect(piece.memory, piece.bytes, exposed ? PROT_READ | PROT_WRITE : PROT_NONE);
}

void emulate(Context& context, std::function<void()> work) {
  if (context.device->recording != nullptr) {
    context.device->recording->work.push_back(std::move(work));
    return;
  }
  expose_memory(context, true);
  work();
  expose_memory(context, false);
}

int32_t begin_recording(Context& context) {
  context.device->recording = new (std::nothrow) Recording;
  return context.device->recording != nullptr ? MS_OK : MS_OUT_OF_MEMORY;
}
int32_t end_recording(Context& context, Recording** out) {
  *out = std::exchange(context.device->recording, nullptr);
  return MS_OK;
}
int32_t replay(Context& context, Recording* recording) {
  for (const auto& work : recording->work) emulate(context, work);
  return MS_OK;
}
void destroy_recording(Context&, Recording* recording) { delete recording; }

// A word that looks like an address of this process, outside device memory, is an operand that a device could not reach.
int32_t check_operands(Context& context, const void* args, size_t bytes) {
  if (!context.device->strict) return MS_OK;
  for (size_t at = 0; at + sizeof(uintptr_t) <= bytes; at += sizeof(uintptr_t)) {
    uintptr_t word;
    std::memcpy(&word, static_cast<const char*>(args) + at, sizeof word);
    const uintptr_t top = word >> 40;
    if (word % 4 != 0 || (top != 0x7f && top != 0x55 && top != 0x56)) continue;
    bool inside = false;
    for (const Piece& piece : context.device->pieces) {
      const auto begin = reinterpret_cast<uintptr_t>(piece.memory);
      inside = inside || (word >= begin && word <= begin + piece.bytes);
    }
    if (inside || msync(reinterpret_cast<void*>(word / 4096 * 4096), 1, MS_ASYNC) != 0) continue;  // chance bits of padding are not mapped
    return fail(context, MS_INVALID_ARGUMENT, "the operand at byte %zu of the arguments lies in ordinary memory", at);
  }
  return MS_OK;
}

cuda_emulation::Order order_of(Context& context) { return context.device->order; }

int32_t probe_device(char* reason, size_t reason_size) {
  if (reason_size > 0) reason[0] = '\0';
  return MS_OK;
}

int32_t open_device(Context& context, int32_t threads) {
  context.multiprocessors = 2;  // few, so that small shapes already share depth and rows out
  const char* const device = std::getenv("MENDSET_EMULATION_DEVICE");
  context.tensor_cores = device == nullptr || std::strcmp(device, "7.5") != 0;
  context.shared_per_block = context.tensor_cores ? 227 << 10 : 64 << 10;
  context.cooperative = threads != 2;  // what does without must give the same bits
  MS_CUDA_TRY(choose_precision(context));
  context.device = new (std::nothrow) Device{threads == 1 ? cuda_emulation::Order::ascending : threads == 2 ? cuda_emulation::Order::descending : cuda_emulation::Order::shuffled,
                                              std::getenv("MENDSET_EMULATION_STRICT") != nullptr,
                                              {}};
  if (context.device == nullptr) return MS_OUT_OF_MEMORY;
  choose_waits(context);
  std::snprintf(context.description, sizeof context.description, "emulation on the processor, %s", precision_name(context.precision));
  return MS_OK;
}

void close_device(Context& context) {
  if (context.sequences != nullptr) context.sequences->forget(context);
  if (context.workspace != nullptr) release(context, context.workspace);
  delete context.device;
}

int32_t allocate_raw(Context& context, size_t bytes, void** out) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t rounded = round_up<size_t>(bytes > 0 ? bytes : 1, page);
  void* const memory = mmap(nullptr, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail(context, MS_OUT_OF_MEMORY, "the processor has no %zu bytes to lend", bytes);
  std::memset(memory, 0xff, rounded);
  (void)mprotect(memory, rounded, PROT_NONE);
  context.device->pieces.push_back({static_cast<char*>(memory), rounded});
  *out = memory;
  return MS_OK;
}
int32_t allocate(Context& context, size_t bytes, void** out) {
  MS_CUDA_TRY(allocate_raw(context, bytes, out));
  return zero(context, *out, bytes);
}
void release(Context& context, void* memory) {
  auto& pieces = context.device->pieces;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (pieces[i].memory != memory) continue;
    (void)munmap(memory, pieces[i].bytes);
    pieces.erase(pieces.begin() + static_cast<std::ptrdiff_t>(i));
    return;
  }
}
bool find_allocation(Context& context, const void* place, Allocation* out) {
  for (const Piece& piece : context.device->pieces) {
    *out = {reinterpret_cast<std::byte*>(piece.memory), piece.bytes};
    if (place >= out->begin && place < out->begin + out->bytes) return true;
  }
  return false;
}
size_t spare_bytes(Context&) { return SIZE_MAX; }
std::byte* allocate_spare(Context& context, size_t bytes) {
  void* memory = nullptr;
  return allocate_raw(context, bytes, &memory) == MS_OK ? static_cast<std::byte*>(memory) : nullptr;
}
// Transfers wait for their bytes, so a recording cannot hold them.
static int32_t transfer(Context& context, void* destination, const void* source, size_t bytes) {
  if (bytes == 0 || context.measuring) return MS_OK;
  if (context.device->recording != nullptr) return fail(context, MS_DEVICE, "a transfer cannot be recorded");
  emulate(context, [=] { std::memmove(destination, source, bytes); });
  return MS_OK;
}
int32_t upload(Context& context, void* destination, const void* host, size_t bytes) { return transfer(context, destination, host, bytes); }
int32_t download(Context& context, void* host, const void* source, size_t bytes) { return transfer(context, host, source, bytes); }
int32_t copy(Context& context, void* destination, const void* source, size_t bytes) { return transfer(context, destination, source, bytes); }
int32_t zero(Context& context, void* destination, size_t bytes) {
  if (bytes == 0 || context.measuring) return MS_OK;
  emulate(context, [=] { std::memset(destination, 0, bytes); });
  return MS_OK;
}
int32_t synchronize(Context&) { return MS_OK; }
int32_t check_launch(Context&) { return MS_OK; }

BlasLt* open_blas_lt(Context&, char* reason, size_t reason_size) {
  std::snprintf(reason, reason_size, "there is none for the emulation");
  return nullptr;
}
void close_blas_lt(BlasLt*) {}
int32_t blas_lt_multiply(Context&, Precision, const Operand&, const Operand&, const float*, const float*, float, float*, int64_t) { return MS_UNSUPPORTED; }

}  // namespace mendset::cuda
