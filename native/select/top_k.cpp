#include "select/top_k.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

namespace mendset {

namespace {

constexpr int64_t kSample = 1 << 16;

// The k-th largest of n values, 1 <= k <= n.
double kth_largest(const double* values, int64_t n, int64_t k) {
  std::vector<double> kept;
  if (n > 4 * kSample) {
    // A value that a few more than k reach, estimated from a strided sample; usually it leaves little to select from.
    std::vector<double> sample;
    for (int64_t i = 0; i < kSample; ++i) sample.push_back(values[i * (n / kSample)]);
    const double share = static_cast<double>(k) / static_cast<double>(n), rows = static_cast<double>(kSample);
    const int64_t rank = static_cast<int64_t>(share * rows + 6 * std::sqrt(share * rows + 1)) + 1;
    if (rank < kSample) {
      std::nth_element(sample.begin(), sample.begin() + rank, sample.end(), std::greater<double>());
      const double bound = sample[static_cast<size_t>(rank)];
      for (int64_t i = 0; i < n; ++i) {
        if (values[i] >= bound) kept.push_back(values[i]);
      }
      if (static_cast<int64_t>(kept.size()) < k) kept.clear();
    }
  }
  if (kept.empty()) kept.assign(values, values + n);
  std::nth_element(kept.begin(), kept.begin() + (k - 1), kept.end(), std::greater<double>());
  return kept[static_cast<size_t>(k - 1)];
}

// -1: none.
int64_t first_nan(const double* values, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    if (std::isnan(values[i])) return i;
  }
  return -1;
}

}  // namespace

Status top_k(const double* values, int64_t n, int64_t k, std::vector<int64_t>* indices) {
  if (k < 0)
    return failure(Code::invalid_argument, "Expected a count of at least 0 but received %lld.", static_cast<long long>(k));
  if (const int64_t bad = first_nan(values, n); bad >= 0)
    return failure(Code::non_finite, "Expected numbers but found NaN at index %lld.", static_cast<long long>(bad));
  k = std::min(k, n);
  indices->clear();
  if (k == 0) return {};
  struct Entry {
    double value;
    int64_t index;
  };
  std::vector<Entry> entries;
  entries.reserve(static_cast<size_t>(k));
  const double bound = kth_largest(values, n, k);
  int64_t ties = k;
  for (int64_t i = 0; i < n; ++i) ties -= values[i] > bound;
  for (int64_t i = 0; i < n; ++i) {
    if (values[i] < bound || (values[i] == bound && ties-- <= 0)) continue;
    entries.push_back({values[i], i});
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.value != b.value ? a.value > b.value : a.index < b.index; });
  indices->reserve(entries.size());
  for (const Entry& entry : entries) indices->push_back(entry.index);
  return {};
}

}  // namespace mendset
