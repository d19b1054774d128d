// The table of the CUDA backend and the one symbol that the library exports.
#include <new>

#include "cuda/blas_lt.h"
#include "cuda/context.h"
#include "cuda/cuda_operations.h"
#include "cuda/plugin.h"
#include "cuda/sequence.h"

namespace mendset::cuda {
namespace {

int32_t create(int32_t threads, ms_context** out) {
  if (threads < 0) return MS_INVALID_ARGUMENT;
  auto* const context = new (std::nothrow) Context;
  if (context == nullptr) return MS_OUT_OF_MEMORY;
  if (const int32_t result = open_device(*context, threads); result != MS_OK) {
    delete context;
    return result;
  }
  *out = reinterpret_cast<ms_context*>(context);
  return MS_OK;
}

void destroy(ms_context* opaque) {
  Context& context = context_of(opaque);
  close_blas_lt(context.blas);
  close_device(context);
  delete &context;
}

const char* last_error(ms_context* context) { return context_of(context).error; }
const char* device(ms_context* context) { return context_of(context).description; }
int32_t table_alloc(ms_context* context, size_t bytes, void** out) { return allocate(context_of(context), bytes, out); }
void table_free(ms_context* context, void* memory) { release(context_of(context), memory); }
int32_t table_upload(ms_context* context, void* destination, const void* host, size_t bytes) { return upload(context_of(context), destination, host, bytes); }
int32_t table_download(ms_context* context, void* host, const void* source, size_t bytes) { return download(context_of(context), host, source, bytes); }
int32_t table_copy(ms_context* context, void* destination, const void* source, size_t bytes) { return copy(context_of(context), destination, source, bytes); }
int32_t table_synchronize(ms_context* context) { return synchronize(context_of(context)); }
int64_t table_scratch_bytes(ms_context* context, int32_t operation, const void* args) { return measure_scratch(context_of(context), operation, args); }

#define MS_WRAP(name) \
  int32_t table_##name(ms_context* context, const ms_##name##_args* args) {                           \
    MS_CUDA_TRY(check_operands(context_of(context), args, sizeof *args));                              \
    if (const auto& sequences = context_of(context).sequences; sequences != nullptr && sequences->open()) { \
      sequences->hold(MS_OPERATION_##name, *args);                                                     \
      return MS_OK;                                                                                    \
    }                                                                                                  \
    return finish_operation(context_of(context), #name, name(context_of(context), *args));             \
  }
MS_OPERATIONS(MS_WRAP)
#undef MS_WRAP

int32_t begin_sequence(ms_context* context) {
  if (const auto& sequences = context_of(context).sequences; sequences != nullptr) sequences->begin();
  return MS_OK;
}
int32_t end_sequence(ms_context* opaque) {
  Context& context = context_of(opaque);
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
