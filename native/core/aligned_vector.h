// Vectors of numbers that begin at a cache line, so that no load of a whole vector register crosses two. Numbers that resize() adds are not set:
// whoever writes them first, on whatever thread, touches their memory first. Large ones are given back to the system when they go: what a heap
// keeps of them would count as memory of whatever runs next.
#pragma once

#include <cstddef>
#include <new>
#include <utility>
#include <vector>

namespace mendset {

void* allocate_lines(size_t bytes);  // throws std::bad_alloc as `new` does
void free_lines(void* memory, size_t bytes) noexcept;

template <typename T> struct CacheLineAllocator {
  using value_type = T;
  CacheLineAllocator() = default;
  template <typename U> CacheLineAllocator(const CacheLineAllocator<U>&) {}
  T* allocate(size_t count) { return static_cast<T*>(allocate_lines(count * sizeof(T))); }
  void deallocate(T* memory, size_t count) { free_lines(memory, count * sizeof(T)); }
  template <typename U> void construct(U*) {}
  template <typename U, typename... Args> void construct(U* at, Args&&... args) { ::new (static_cast<void*>(at)) U(std::forward<Args>(args)...); }
  bool operator==(const CacheLineAllocator&) const { return true; }
};

template <typename T> using AlignedVector = std::vector<T, CacheLineAllocator<T>>;

}  // namespace mendset
