#include "model/arena.h"

#include <algorithm>

namespace mendset {

void Arena::begin() {
  free_.clear();
  taken_.clear();
  end_ = peak_ = 0;
}

void* Arena::take(size_t bytes) {
  bytes = std::max<size_t>((bytes + 63) / 64 * 64, 64);
  const uintptr_t base = memory_.data() != nullptr ? reinterpret_cast<uintptr_t>(memory_.data()) : kNowhere;
  size_t offset = end_;
  // The smallest piece that is large enough, else the end.
  auto best = free_.end();
  for (auto piece = free_.begin(); piece != free_.end(); ++piece) {
    if (piece->bytes >= bytes && (best == free_.end() || piece->bytes < best->bytes)) best = piece;
  }
  if (best != free_.end()) {
    offset = best->offset;
    best->offset += bytes;
    best->bytes -= bytes;
    if (best->bytes == 0) free_.erase(best);
  } else {
    if (!free_.empty() && free_.back().offset + free_.back().bytes == end_) {
      offset = free_.back().offset;
      free_.pop_back();
    }
    end_ = offset + bytes;
    peak_ = std::max(peak_, end_);
  }
  taken_.push_back({offset, bytes});
  return reinterpret_cast<void*>(base + offset);
}

void Arena::give(const void* pointer) {
  if (pointer == nullptr) return;
  const uintptr_t base = memory_.data() != nullptr ? reinterpret_cast<uintptr_t>(memory_.data()) : kNowhere;
  const size_t offset = reinterpret_cast<uintptr_t>(pointer) - base;
  const auto taken = std::find_if(taken_.begin(), taken_.end(), [&](const Piece& piece) { return piece.offset == offset; });
  if (taken == taken_.end()) return;
  Piece piece = *taken;
  *taken = taken_.back();
  taken_.pop_back();
  auto next = std::lower_bound(free_.begin(), free_.end(), piece.offset, [](const Piece& a, size_t b) { return a.offset < b; });
  if (next != free_.end() && piece.offset + piece.bytes == next->offset) {
    piece.bytes += next->bytes;
    next = free_.erase(next);
  }
  if (next != free_.begin() && std::prev(next)->offset + std::prev(next)->bytes == piece.offset) {
    std::prev(next)->bytes += piece.bytes;
  } else {
    free_.insert(next, piece);
  }
}

Status Arena::settle(bool* fits) {
  *fits = memory_.data() != nullptr && peak_ <= memory_.bytes();
  return reserve(peak_);
}

Status Arena::reserve(size_t bytes) {
  if (memory_.data() != nullptr && bytes <= memory_.bytes()) return {};
  memory_.reset();  // first, so that old and new never coexist
  return Buffer::allocate(backend_, std::max<size_t>(bytes, 64), &memory_);
}

}  // namespace mendset
