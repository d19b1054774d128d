#include "select/top_k.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace mendset {

Status top_k(const double* values, int64_t n, int64_t k, std::vector<int64_t>* indices) {
  if (k < 0)
    return failure(Code::invalid_argument, "Expected a count of at least 0 but received %lld.", static_cast<long long>(k));
  for (int64_t i = 0; i < n; ++i) {
    if (std::isnan(values[i]))
      return failure(Code::non_finite, "Expected numbers but found NaN at index %lld.", static_cast<long long>(i));
  }
  const auto before = [&](int64_t a, int64_t b) { return values[a] != values[b] ? values[a] > values[b] : a < b; };
  indices->resize(static_cast<size_t>(n));
  std::iota(indices->begin(), indices->end(), int64_t{0});
  const auto middle = indices->begin() + std::min(k, n);
  std::partial_sort(indices->begin(), middle, indices->end(), before);
  indices->erase(middle, indices->end());
  return {};
}

}  // namespace mendset
