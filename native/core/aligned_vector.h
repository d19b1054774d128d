// Vectors of numbers that begin at a cache line, so that no load of a whole vector register crosses two. Numbers that resize() adds are not set:
// whoever writes them first, on whatever thread, touches their memory first.
#pragma once

#include <cstddef>
#include <new>
#include <utility>
#include <vector>

namespace mendset {

template <typename T> struct CacheLineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kLine{64};
  CacheLineAllocator() = default;
  template <typename U> CacheLineAllocator(const CacheLineAllocator<U>&) {}
  T* allocate(size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), kLine)); }
  void deallocate(T* memory, size_t) { ::operator delete(memory, kLine); }
  template <typename U> void construct(U*) {}
  template <typename U, typename... Args> void construct(U* at, Args&&... args) { ::new (static_cast<void*>(at)) U(std::forward<Args>(args)...); }
  bool operator==(const CacheLineAllocator&) const { return true; }
};

template <typename T> using AlignedVector = std::vector<T, CacheLineAllocator<T>>;

}  // namespace mendset
