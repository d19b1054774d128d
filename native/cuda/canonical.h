// Values that decide an index: fp32 chains in ascending coordinate order, the same bits as on every processor.
#pragma once

#include "cuda/device.h"

namespace mendset::cuda {

// The norm form of |x - c|^2 from the canonical dot product, except where it cancels: there the chain of squared differences. x and c step by
// `x_step` and `c_step` per coordinate.
__device__ __forceinline__ float squared_distance(float dot, const float* x, int64_t x_step, float x_norm, const float* c, int64_t c_step, float c_norm, int64_t d) {
  const float norms = x_norm + c_norm, distance = fmaf(-2.0f, dot, norms);
  if (!(distance < 0x1p-10f * norms)) return fmaxf(distance, 0.0f);
  float sum = 0.0f;
  for (int64_t p = 0; p < d; ++p) {
    const float difference = x[p * x_step] - c[p * c_step];
    sum = fmaf(difference, difference, sum);
  }
  return sum;
}

__device__ __forceinline__ float canonical_dot(const float* x, const float* c, int64_t d) {
  float sum = 0.0f;
  for (int64_t p = 0; p < d; ++p) sum = fmaf(x[p], c[p], sum);
  return sum;
}

}  // namespace mendset::cuda
