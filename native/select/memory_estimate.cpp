#include "select/memory_estimate.h"

#include <algorithm>
#include <cmath>

#include "select/k_means.h"

namespace mendset {

Status selection_memory(const std::string& kind, int64_t rows, int64_t columns, int64_t count, double* bytes) {
  if (rows < 1 || columns < 1 || count < 0) {
    return failure(Code::invalid_argument, "Expected at least one row and column and a count of at least 0 but received %lld x %lld and %lld.", static_cast<long long>(rows),
                   static_cast<long long>(columns), static_cast<long long>(count));
  }
  const double n = static_cast<double>(rows), d = static_cast<double>(columns), k = static_cast<double>(count);
  constexpr double kScratch = 16.0 * (1 << 20);  // packed operands of the operations
  if (kind == "k-means") {
    const double r = static_cast<double>(KMeansAssignment::directions_for(rows, columns, count));
    const double filter = r > 0 ? n * (4 * (r + 1) + 8) + 8 * d * (2 * d + 4 * r) + 4 * std::min(n, 4096.0) * d : 0;
    const int64_t runners = count > 1 ? KMeansAssignment::runners_for(columns, count) : 0;
    // squared lengths, three bounds and the list of rows that they leave; near ones; runners
    const double bounds = n * (8 + 12 + 4 + 8 * static_cast<double>(KMeansAssignment::near_for(columns, count)) + 4 * static_cast<double>(runners));
    const double trials = 2 + std::floor(std::log(std::max(k, 1.0))), squares = std::max(trials, static_cast<double>(KMeans::squares_at_once(columns)));
    const double start = n * (4 * (squares + std::max(1.0, squares / trials)) + 8);
    const double labels = 4 * n * 6 + 8 * n, results = 4 * n * 2 + 8 * n * 2;
    *bytes = filter + bounds + start + labels + results + k * d * 64 + kScratch;
  } else if (kind == "k-center") {
    const double pool = std::max(2048.0 * 4 * d, 16.0 * (1 << 20)) + 512.0 * 4 * d;
    *bytes = n * (4 * 7 + 1) + pool + 32 * k + kScratch;
  } else if (kind == "pca") {
    const double slices = std::clamp(n / (8 * d), 1.0, 8.0);  // of the rows, with half a matrix of sums each
    *bytes = 8 * d * d * 5 + 4 * d * d * slices + 4 * n * k + 16 * k * d + kScratch;
  } else if (kind == "nearest-neighbours") {
    *bytes = 16 * n * k + 4 * n + kScratch;
  } else if (kind == "facility-location") {
    *bytes = n * (4 * 3 + 8 * 2 + 4) + 16 * k + 384.0 * 4 * d + kScratch;
  } else {
    return failure(Code::invalid_argument, "Expected k-means, k-center, pca, nearest-neighbours or facility-location but received %s.", kind.c_str());
  }
  return {};
}

}  // namespace mendset
