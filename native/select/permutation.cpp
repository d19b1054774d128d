#include "select/permutation.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace mendset {

void shuffle(RandomStream& stream, int32_t* values, int64_t count) {
  // Draws run ahead of their swaps, so that the places to be swapped are on their way from memory.
  constexpr int64_t kAhead = 64;
  uint32_t places[kAhead];
  for (int64_t i = count - 1; i > 0;) {
    const int64_t batch = std::min<int64_t>(kAhead, i);
    for (int64_t b = 0; b < batch; ++b) {
      places[b] = stream.below(static_cast<uint32_t>(i - b + 1));
      __builtin_prefetch(values + places[b], 1);
    }
    for (int64_t b = 0; b < batch; ++b) std::swap(values[i - b], values[places[b]]);
    i -= batch;
  }
}

Status permutation_prefix(RandomStream stream, int64_t n, int64_t count, std::vector<int32_t>* out) {
  if (n < 0 || n > std::numeric_limits<int32_t>::max() || count < 0 || count > n) {
    return failure(Code::invalid_argument, "Expected a count between 0 and n = %lld but received %lld.", static_cast<long long>(n), static_cast<long long>(count));
  }
  out->resize(static_cast<size_t>(n));
  std::iota(out->begin(), out->end(), 0);
  shuffle(stream, out->data(), n);
  out->resize(static_cast<size_t>(count));
  return {};
}

}  // namespace mendset
