#include "select/permutation.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

namespace mendset {

namespace {

constexpr int64_t kSwapsPerChunk = int64_t{1} << 18;

}  // namespace

Status PermutationPrefix::create(RandomStream stream, int64_t n, int64_t count, std::unique_ptr<PermutationPrefix>* out) {
  if (n < 0 || n > std::numeric_limits<int32_t>::max() || count < 0 || count > n) {
    return failure(Code::invalid_argument, "Expected a count between 0 and n = %lld but received %lld.", static_cast<long long>(n), static_cast<long long>(count));
  }
  out->reset(new PermutationPrefix(stream, n, count));
  return {};
}

Progress PermutationPrefix::progress() const {
  const double total = static_cast<double>(n_) + 1;
  return {ended() ? total : values_.empty() ? 0 : static_cast<double>(n_ - left_), total, ended()};
}

Status PermutationPrefix::fill() {
  values_.resize(static_cast<size_t>(n_));
  std::iota(values_.begin(), values_.end(), 0);
  left_ = n_;
  enter(&PermutationPrefix::shuffle);
  return {};
}

Status PermutationPrefix::shuffle() {
  // Draws run ahead of their swaps, so that the places to be swapped are on their way from memory.
  constexpr int64_t kAhead = 64;
  uint32_t places[kAhead];
  for (const int64_t stop = std::max<int64_t>(1, left_ - kSwapsPerChunk); left_ > stop;) {
    const int64_t batch = std::min(kAhead, left_ - stop);
    for (int64_t b = 0; b < batch; ++b) {
      places[b] = stream_.below(static_cast<uint32_t>(left_ - b));
      __builtin_prefetch(values_.data() + places[b], 1);
    }
    for (int64_t b = 0; b < batch; ++b) std::swap(values_[static_cast<size_t>(left_ - 1 - b)], values_[places[b]]);
    left_ -= batch;
  }
  if (left_ > 1) return {};
  values_.resize(static_cast<size_t>(count_));
  if (count_ < n_ / 2) values_.shrink_to_fit();
  end();
  return {};
}

}  // namespace mendset
