// Planned work memory: a free list hands out offsets while a schedule is built, so that buffers whose lives do not overlap share
// bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "backend/backend.h"

namespace mendset {

// Base of a plan without memory: aligned and not null, so that null keeps its meaning in argument structs.
constexpr uintptr_t kNowhere = 4096;

// Offsets depend only on the order of take and give. While a plan is being made the arena may hand out places beyond its capacity
// (never touched); `settle` then grows the memory, and the same plan made again gets the same offsets inside it.
class Arena {
 public:
  explicit Arena(std::shared_ptr<Backend> backend) : backend_(std::move(backend)) {}

  void begin();                    // forget everything handed out
  void* take(size_t bytes);        // 64-byte aligned; contents undefined
  void give(const void* pointer);  // its bytes may be handed out again; null is ignored
  // After a plan: true when everything lay within the memory; otherwise grows it, and the plan must be made again.
  Status settle(bool* fits);
  // Before several plans that leave something to each other: none of them will grow the memory. Its contents are lost.
  Status reserve(size_t bytes);

  size_t peak() const { return peak_; }
  size_t capacity() const { return memory_.bytes(); }

 private:
  struct Piece {
    size_t offset, bytes;
  };
  std::shared_ptr<Backend> backend_;
  Buffer memory_;
  std::vector<Piece> free_;  // ascending offset, never adjacent
  std::vector<Piece> taken_;
  size_t end_ = 0, peak_ = 0;
};

}  // namespace mendset
