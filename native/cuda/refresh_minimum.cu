// K-Center's refresh: rows meet the centres they lack until they fall below the threshold.
#include "cuda/canonical.h"
#include "cuda/cuda_operations.h"
#include "cuda/launch.h"

namespace mendset::cuda {
namespace {

constexpr int kRows = 128, kDepth = 32, kCentres = 8;

// A thread per row, eight centres in one pass over the block's rows, from the least that any open row lacks. Tiles turn through shared memory, so that
// reads are contiguous and a chain stays in one thread.
__global__ void __launch_bounds__(kRows) refresh_minimum_kernel(ms_refresh_minimum_args a) {
  __shared__ float tile[kRows][kDepth + 1];
  __shared__ float centre_tile[kCentres][kDepth];
  __shared__ int32_t rows[kRows];
  __shared__ int32_t begin;
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t own = static_cast<int64_t>(blockIdx.x) * kRows + thread;
  const bool present = own < a.rows;
  const int64_t row = present ? a.index[own] : 0;
  rows[thread] = present ? static_cast<int32_t>(row) : -1;
  int32_t known = present ? a.applied[own] : 0;
  float least = present ? a.m[own] : 0.0f;
  for (;;) {
    const bool open = present && known < a.centres && least >= a.threshold;
    __syncthreads();
    if (thread == 0) begin = 0x7fffffff;
    __syncthreads();
    if (open) atomicMin(&begin, known);
    __syncthreads();
    const int64_t first = begin;
    if (first >= a.centres) break;
    float dot[kCentres];
    MS_UNROLL
    for (int j = 0; j < kCentres; ++j) dot[j] = 0.0f;
    for (int64_t p = 0; p < a.d; p += kDepth) {
      __syncthreads();
      for (int cell = thread; cell < kRows * kDepth; cell += kRows) {
        const int64_t i = rows[cell / kDepth], column = p + cell % kDepth;
        tile[cell / kDepth][cell % kDepth] = i >= 0 && column < a.d ? a.x[i * a.d + column] : 0.0f;
      }
      for (int cell = thread; cell < kCentres * kDepth; cell += kRows) {
        const int64_t c = first + cell / kDepth, column = p + cell % kDepth;
        centre_tile[cell / kDepth][cell % kDepth] = c < a.centres && column < a.d ? a.x[a.centre[c] * a.d + column] : 0.0f;
      }
      __syncthreads();
      MS_UNROLL_BY(8)
      for (int k = 0; k < kDepth; ++k) {
        const float value = tile[thread][k];
        MS_UNROLL
        for (int j = 0; j < kCentres; ++j) dot[j] = fmaf(value, centre_tile[j][k], dot[j]);
      }
    }
    MS_UNROLL
    for (int j = 0; j < kCentres; ++j) {
      if (!open || first + j != known || known >= a.centres || !(least >= a.threshold)) continue;
      const int64_t centre = a.centre[first + j];
      least = fminf(least, squared_distance(dot[j], a.x + row * a.d, 1, a.x_norms[row], a.x + centre * a.d, 1, a.x_norms[centre], a.d));
      ++known;
    }
  }
  if (!present) return;
  a.m[own] = least;
  a.applied[own] = known;
}

}  // namespace

int32_t refresh_minimum(Context& context, const ms_refresh_minimum_args& a) {
  if (a.rows == 0 || a.centres == 0) return MS_OK;
  return launch(context, refresh_minimum_kernel, dim3{blocks_for(a.rows, kRows), 1, 1}, kRows, 0, a);
}

}  // namespace mendset::cuda
