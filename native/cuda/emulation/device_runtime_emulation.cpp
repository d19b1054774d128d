// A device that is host memory and kernels that run on the processor. The context's thread count chooses the order in which the threads of a
// block run between barriers (1 ascending, 2 descending, else shuffled), so that the contract's "same bits for any number of threads" finds missing
// barriers. Scratch starts as NaN patterns.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "cuda/blas_lt.h"
#include "cuda/context.h"
#include "cuda/launch.h"

namespace mendset::cuda {

struct Device {
  cuda_emulation::Order order;
};

cuda_emulation::Order order_of(Context& context) { return context.device->order; }

int32_t probe_device(char* reason, size_t reason_size) {
  if (reason_size > 0) reason[0] = '\0';
  return MS_OK;
}

int32_t open_device(Context& context, int32_t threads) {
  context.multiprocessors = 2;  // few, so that small shapes already share depth and rows out
  context.tensor_cores = true;
  context.shared_per_block = 227 << 10;
  MS_CUDA_TRY(choose_precision(context));
  context.device = new (std::nothrow) Device{threads == 1 ? cuda_emulation::Order::ascending : threads == 2 ? cuda_emulation::Order::descending : cuda_emulation::Order::shuffled};
  if (context.device == nullptr) return MS_OUT_OF_MEMORY;
  std::snprintf(context.description, sizeof context.description, "emulation on the processor, %s", precision_name(context.precision));
  return MS_OK;
}

void close_device(Context& context) {
  if (context.workspace != nullptr) release(context, context.workspace);
  delete context.device;
}

int32_t allocate_raw(Context&, size_t bytes, void** out) {
  const size_t rounded = round_up<size_t>(bytes > 0 ? bytes : 1, 256);
  *out = ::operator new(rounded, std::align_val_t(256), std::nothrow);
  if (*out == nullptr) return MS_OUT_OF_MEMORY;
  std::memset(*out, 0xff, rounded);
  return MS_OK;
}
int32_t allocate(Context& context, size_t bytes, void** out) {
  MS_CUDA_TRY(allocate_raw(context, bytes, out));
  std::memset(*out, 0, bytes);
  return MS_OK;
}
void release(Context&, void* memory) { ::operator delete(memory, std::align_val_t(256)); }
static int32_t move(void* destination, const void* source, size_t bytes) {
  if (bytes > 0) std::memmove(destination, source, bytes);
  return MS_OK;
}
int32_t upload(Context&, void* destination, const void* host, size_t bytes) { return move(destination, host, bytes); }
int32_t download(Context&, void* host, const void* source, size_t bytes) { return move(host, source, bytes); }
int32_t copy(Context&, void* destination, const void* source, size_t bytes) { return move(destination, source, bytes); }
int32_t zero(Context&, void* destination, size_t bytes) {
  if (bytes > 0) std::memset(destination, 0, bytes);
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
