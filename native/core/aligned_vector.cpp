#include "core/aligned_vector.h"

#if defined(__unix__) || defined(__APPLE__)
#define MS_HAS_MMAP 1
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#endif

namespace mendset {

namespace {

constexpr std::align_val_t kLine{64};
constexpr size_t kMapped = size_t{1} << 20;  // bytes from which a mapping of their own pays
#if defined(MADV_HUGEPAGE)
constexpr size_t kHugePage = size_t{2} << 20;

// As many huge pages as `bytes` has: a tenth of the faults. Memory without them serves as well.
void* map_huge(size_t bytes) {
  void* const memory = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t start = reinterpret_cast<uintptr_t>(memory), begin = (start + kHugePage - 1) / kHugePage * kHugePage, end = (begin + bytes + page - 1) / page * page, last = start + (bytes + kHugePage + page - 1) / page * page;
  if (begin > start) munmap(memory, begin - start);
  if (last > end) munmap(reinterpret_cast<void*>(end), last - end);
  madvise(reinterpret_cast<void*>(begin), bytes, MADV_HUGEPAGE);
  return reinterpret_cast<void*>(begin);
}
#endif

}  // namespace

void* allocate_lines(size_t bytes) {
#if MS_HAS_MMAP
  if (bytes >= kMapped) {
#if defined(MADV_HUGEPAGE)
    if (bytes >= kHugePage) return map_huge(bytes);
#endif
    void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    return memory;
  }
#endif
  return ::operator new(bytes, kLine);
}

void free_lines(void* memory, size_t bytes) noexcept {
#if MS_HAS_MMAP
  if (bytes >= kMapped) {
    munmap(memory, bytes);
    return;
  }
#endif
  ::operator delete(memory, kLine);
}

}  // namespace mendset
