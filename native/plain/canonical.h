// Values that decide an index: one fp32 FMA chain in ascending coordinate order, the same bits on every machine.
#pragma once

#include <cmath>
#include <cstdint>

namespace mendset {

inline float canonical_dot(const float* x, const float* c, int64_t d) {
  float sum = 0;
  for (int64_t p = 0; p < d; ++p) sum = std::fma(x[p], c[p], sum);
  return sum;
}

// The norm form of |x - c|^2, except where it cancels: there the chain of squared differences.
inline float canonical_squared_distance(const float* x, float x_norm, const float* c, float c_norm, int64_t d) {
  const float norms = x_norm + c_norm;
  const float distance = std::fma(-2.0f, canonical_dot(x, c, d), norms);
  if (!(distance < 0x1p-10f * norms)) return std::fmax(distance, 0.0f);
  float sum = 0;
  for (int64_t p = 0; p < d; ++p) {
    const float difference = x[p] - c[p];
    sum = std::fma(difference, difference, sum);
  }
  return sum;
}

}  // namespace mendset
