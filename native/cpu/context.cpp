#include "cpu/context.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace mendset::cpu {
namespace {
constexpr size_t kAlignment = 64;
}

// From calloc, so that large blocks come as untouched zero pages; the original pointer is kept in front of the block.
void* allocate_aligned(size_t bytes) noexcept {
  if (bytes > SIZE_MAX / 2) return nullptr;
  void* const raw = std::calloc(bytes + 2 * kAlignment, 1);
  if (raw == nullptr) return nullptr;
  const uintptr_t aligned = (reinterpret_cast<uintptr_t>(raw) + sizeof(void*) + kAlignment - 1) / kAlignment * kAlignment;
  std::memcpy(reinterpret_cast<void*>(aligned - sizeof(void*)), &raw, sizeof(void*));
  return reinterpret_cast<void*>(aligned);
}

void free_aligned(void* memory) noexcept {
  if (memory == nullptr) return;
  void* raw;
  std::memcpy(&raw, static_cast<std::byte*>(memory) - sizeof(void*), sizeof(void*));
  std::free(raw);
}

std::byte* Workspace::reserve(size_t bytes) noexcept {
  if (bytes > bytes_ || memory_ == nullptr) {
    free_aligned(memory_);
    memory_ = allocate_aligned(bytes);
    bytes_ = memory_ != nullptr ? bytes : 0;
  }
  return static_cast<std::byte*>(memory_);
}

int32_t Context::fail(int32_t code, const char* sentence) noexcept {
  std::snprintf(error, sizeof error, "%s", sentence);
  return code;
}

}  // namespace mendset::cpu
