// A budget shared evenly over bins of limited size.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

namespace mendset {

// Bins by ascending (size, index); each takes min(size, rest / bins left). The sum is the budget whenever it fits.
inline std::vector<int32_t> water_fill(int64_t budget, std::span<const int32_t> sizes) {
  std::vector<size_t> order(sizes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return sizes[a] < sizes[b]; });
  std::vector<int32_t> quotas(sizes.size());
  for (size_t place = 0; place < order.size(); ++place) {
    const int32_t quota = static_cast<int32_t>(std::min<int64_t>(sizes[order[place]], budget / static_cast<int64_t>(order.size() - place)));
    quotas[order[place]] = quota;
    budget -= quota;
  }
  return quotas;
}

}  // namespace mendset
