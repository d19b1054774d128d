#include <cstdlib>
#include <cstring>
#include <new>

#include "plain/plain.h"
#include "plain/plain_operations.h"

namespace {

constexpr size_t kAlignment = 64;

// ms_context is opaque and each backend has its own; this one has no state, only an identity.
struct PlainContext {
  int unused = 0;
};

int32_t probe(char* reason, size_t reason_size) {
  if (reason_size > 0) reason[0] = '\0';
  return MS_OK;
}

int32_t create(int32_t threads, ms_context** out) {
  if (threads < 0) return MS_INVALID_ARGUMENT;
  auto* context = new (std::nothrow) PlainContext;
  if (context == nullptr) return MS_OUT_OF_MEMORY;
  *out = reinterpret_cast<ms_context*>(context);
  return MS_OK;
}

void destroy(ms_context* context) { delete reinterpret_cast<PlainContext*>(context); }

const char* last_error(ms_context*) { return "the plain backend keeps no error text"; }

const char* device(ms_context*) { return "plain loops"; }

int32_t allocate(ms_context*, size_t bytes, void** out) {
  if (bytes > SIZE_MAX - kAlignment) return MS_OUT_OF_MEMORY;
  const size_t rounded = bytes == 0 ? kAlignment : (bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* memory = ::operator new(rounded, std::align_val_t(kAlignment), std::nothrow);
  if (memory == nullptr) return MS_OUT_OF_MEMORY;
  std::memset(memory, 0, rounded);
  *out = memory;
  return MS_OK;
}

void release(ms_context*, void* memory) { ::operator delete(memory, std::align_val_t(kAlignment)); }

int32_t move(ms_context*, void* destination, const void* source, size_t bytes) {
  if (bytes > 0) std::memmove(destination, source, bytes);
  return MS_OK;
}

int32_t synchronize(ms_context*) { return MS_OK; }

}  // namespace

const ms_backend* mendset_plain_backend() {
#define MS_ENTRY(name) .name = mendset::plain_##name,
  static const ms_backend table = {.abi = MS_BACKEND_ABI,
                                   .weight_types = 1 << MS_TYPE_F32 | 1 << MS_TYPE_BF16 | 1 << MS_TYPE_F16,
                                   .name = "plain",
                                   .probe = probe,
                                   .create = create,
                                   .destroy = destroy,
                                   .last_error = last_error,
                                   .device = device,
                                   .alloc = allocate,
                                   .free = release,
                                   .upload = move,
                                   .download = move,
                                   .copy = move,
                                   .synchronize = synchronize,
                                   .scratch_bytes = nullptr,
                                   MS_OPERATIONS(MS_ENTRY)
                                   .begin_sequence = nullptr,
                                   .end_sequence = nullptr};
#undef MS_ENTRY
  return &table;
}
