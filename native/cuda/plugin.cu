// The table of the CUDA backend and the one symbol that the library exports.
#include <mutex>
#include <new>

#include "cuda/blas_lt.h"
#include "cuda/context.h"
#include "cuda/cuda_operations.h"
#include "cuda/plugin.h"
#include "cuda/rounded_weights.h"
#include "cuda/sequence.h"

namespace mendset::cuda {
namespace {

int32_t create(int32_t threads, ms_context** out) {
  if (threads < 0) return MS_INVALID_ARGUMENT;
  auto* const context = new (std::nothrow) Context;
  if (context == nullptr) return MS_OUT_OF_MEMORY;
  *out = reinterpret_cast<ms_context*>(context);
  MS_CUDA_TRY(open_device(*context, threads));  // after a failure the context knows why
  choose_weights(*context);
  return MS_OK;
}

void destroy(ms_context* opaque) {
  Context& context = context_of(opaque);
  if (context.device != nullptr) {
    if (context.weights != nullptr) context.weights->close(context);
    close_blas_lt(context.blas);
    close_device(context);
  }
  delete &context;
}

// While one thread steps, others make and drop buffers and ask for estimates: one of them at a time is in the context, and what is recorded is recorded whole.
using Turn = std::lock_guard<std::recursive_mutex>;

const char* last_error(ms_context* context) { return context_of(context).error; }
const char* device(ms_context* context) { return context_of(context).description; }
int32_t table_alloc(ms_context* opaque, size_t bytes, void** out) {
  Context& context = context_of(opaque);
  const Turn turn(context.mutex);
  context.left = {};
  return allocate(context, bytes, out);
}
void table_free(ms_context* opaque, void* memory) {
  Context& context = context_of(opaque);
  const Turn turn(context.mutex);
  context.left = {};
  if (context.weights != nullptr) context.weights->released(context, memory);
  release(context, memory);
}
int32_t table_upload(ms_context* opaque, void* destination, const void* host, size_t bytes) {
  Context& context = context_of(opaque);
  const Turn turn(context.mutex);
  context.left = {};
  if (context.weights != nullptr) context.weights->written(destination, bytes);
  return upload(context, destination, host, bytes);
}
int32_t table_download(ms_context* opaque, void* host, const void* source, size_t bytes) {
  Context& context = context_of(opaque);
  const Turn turn(context.mutex);
  return download(context, host, source, bytes);
}
int32_t table_copy(ms_context* opaque, void* destination, const void* source, size_t bytes) {
  Context& context = context_of(opaque);
  const Turn turn(context.mutex);
  context.left = {};
  if (context.weights != nullptr) context.weights->written(destination, bytes);
  return copy(context, destination, source, bytes);
}
int32_t table_synchronize(ms_context* context) { return synchronize(context_of(context)); }
int64_t table_scratch_bytes(ms_context* opaque, int32_t operation, const void* args) {
  Context& context = context_of(opaque);
  const Turn turn(context.mutex);
  return measure_scratch(context, operation, args);
}

#define MS_WRAP(name) \
  int32_t table_##name(ms_context* opaque, const ms_##name##_args* args) {                             \
    Context& context = context_of(opaque);                                                             \
    const Turn turn(context.mutex);                                                                    \
    MS_CUDA_TRY(check_operands(context, args, sizeof *args));                                          \
    if (context.sequences != nullptr && context.sequences->open()) {                                   \
      context.sequences->hold(MS_OPERATION_##name, *args);                                             \
      return MS_OK;                                                                                    \
    }                                                                                                  \
    if (context.weights != nullptr) MS_CUDA_TRY(context.weights->prepare(context, MS_OPERATION_##name, args)); \
    begin_operation(context, MS_OPERATION_##name, args, sizeof *args);                                 \
    return finish_operation(context, #name, name(context, *args));                                     \
  }
MS_OPERATIONS(MS_WRAP)
#undef MS_WRAP

int32_t begin_sequence(ms_context* opaque) {
  Context& context = context_of(opaque);
  const Turn turn(context.mutex);
  if (context.sequences != nullptr) context.sequences->begin();
  return MS_OK;
}
int32_t end_sequence(ms_context* opaque) {
  Context& context = context_of(opaque);
  const Turn turn(context.mutex);
  return context.sequences != nullptr ? context.sequences->end(context) : MS_OK;
}

}  // namespace

const ms_backend* backend_table() {
#define MS_ENTRY(name) .name = table_##name,
  static const ms_backend table = {.abi = MS_BACKEND_ABI,
                                   .weight_types = 1 << MS_TYPE_F32,
                                   .name = "cuda",
                                   .probe = probe_device,
                                   .create = create,
                                   .destroy = destroy,
                                   .last_error = last_error,
                                   .device = device,
                                   .alloc = table_alloc,
                                   .free = table_free,
                                   .upload = table_upload,
                                   .download = table_download,
                                   .copy = table_copy,
                                   .synchronize = table_synchronize,
                                   .scratch_bytes = table_scratch_bytes,
                                   MS_OPERATIONS(MS_ENTRY)
                                   .begin_sequence = begin_sequence,
                                   .end_sequence = end_sequence};
#undef MS_ENTRY
  return &table;
}

}  // namespace mendset::cuda

extern "C" __attribute__((visibility("default"))) const ms_backend* mendset_backend();
extern "C" const ms_backend* mendset_backend() { return mendset::cuda::backend_table(); }
