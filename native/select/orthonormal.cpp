#include "select/orthonormal.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace mendset {

void orthonormalise(double* rows, int64_t count, int64_t columns) {
  const size_t d = static_cast<size_t>(columns);
  size_t axis = 0;
  for (size_t j = 0; j < static_cast<size_t>(count); ++j) {
    double* const v = rows + j * d;
    for (;;) {
      double largest = 0;
      for (size_t p = 0; p < d; ++p) largest = std::max(largest, std::abs(v[p]));
      double before = 0;
      for (size_t p = 0; p < d && largest > 0; ++p) {
        v[p] /= largest;
        before += v[p] * v[p];
      }
      double after = 0;
      for (int pass = 0; pass < 2; ++pass) {
        for (size_t i = 0; i < j; ++i) {
          const double* const q = rows + i * d;
          double product[4] = {};
          for (size_t p = 0; p < d; ++p) product[p % 4] += q[p] * v[p];
          const double share = (product[0] + product[1]) + (product[2] + product[3]);
          for (size_t p = 0; p < d; ++p) v[p] -= share * q[p];
        }
        after = 0;
        for (size_t p = 0; p < d; ++p) after += v[p] * v[p];
        if (pass == 0 && !(after > before * 1e-12)) break;
      }
      if (after > before * 1e-12 && before > 0) {
        const double length = std::sqrt(after);
        for (size_t p = 0; p < d; ++p) v[p] /= length;
        break;
      }
      std::fill_n(v, d, 0.0);
      v[axis++ % d] = 1;
    }
  }
}

}  // namespace mendset
