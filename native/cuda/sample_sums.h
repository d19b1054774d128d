// Samples of packed rows on the device.
#pragma once

#include "cuda/device.h"

namespace mendset::cuda {

// The sample that owns a row: the last s with offsets[s] <= row (samples may be empty).
__device__ __forceinline__ int64_t sample_of_row(const int32_t* offsets, int64_t samples, int64_t row) {
  int64_t low = 0, high = samples;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    if (offsets[middle] <= row) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace mendset::cuda
