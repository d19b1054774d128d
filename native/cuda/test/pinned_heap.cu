// Every `new` of a test comes from one piece of pinned memory that host and device address alike, so that the contract suite's operands, which are
// ordinary vectors, can be given to kernels. Nothing is given back before the process ends but the most recent pieces of each size.
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>

#include "pinned_heap.h"

namespace {

constexpr size_t kHeapBytes = size_t{4} << 30, kClasses = 48;

struct Piece {
  Piece* next;
};

struct Heap {
  std::mutex mutex;
  char* memory = nullptr;
  size_t used = 0;
  Piece* free_pieces[kClasses] = {};
};
Heap heap;

// Sizes are powers of two from 64 bytes; the class lies 64 bytes before the piece.
size_t class_of(size_t bytes) {
  size_t size = 64, place = 0;
  while (size < bytes) size *= 2, ++place;
  return place;
}

void* take(size_t bytes) {
  std::lock_guard lock(heap.mutex);
  if (heap.memory == nullptr) return std::malloc(bytes > 0 ? bytes : 1);
  const size_t place = class_of(bytes), size = (size_t{64} << place) + 64;
  if (Piece* const piece = heap.free_pieces[place]; piece != nullptr) {
    heap.free_pieces[place] = piece->next;
    return piece;
  }
  if (size > kHeapBytes - heap.used) {
    std::fprintf(stderr, "the test's pinned memory is used up\n");
    std::abort();
  }
  char* const start = heap.memory + heap.used;
  heap.used += size;
  *reinterpret_cast<size_t*>(start) = place;
  return start + 64;
}

void give(void* memory) {
  if (memory == nullptr) return;
  std::lock_guard lock(heap.mutex);
  char* const piece = static_cast<char*>(memory);
  if (heap.memory == nullptr || piece < heap.memory || piece >= heap.memory + kHeapBytes) {
    std::free(memory);
    return;
  }
  const size_t place = *reinterpret_cast<size_t*>(piece - 64);
  auto* const freed = reinterpret_cast<Piece*>(piece);
  freed->next = heap.free_pieces[place];
  heap.free_pieces[place] = freed;
}

}  // namespace

bool mendset::test::use_pinned_heap() {
  void* memory = nullptr;
  if (cudaHostAlloc(&memory, kHeapBytes, cudaHostAllocMapped | cudaHostAllocPortable) != cudaSuccess) return false;
  std::lock_guard lock(heap.mutex);
  heap.memory = static_cast<char*>(memory);
  return true;
}

void* operator new(size_t bytes) { return take(bytes); }
void* operator new[](size_t bytes) { return take(bytes); }
void operator delete(void* memory) noexcept { give(memory); }
void operator delete[](void* memory) noexcept { give(memory); }
void operator delete(void* memory, size_t) noexcept { give(memory); }
void operator delete[](void* memory, size_t) noexcept { give(memory); }
