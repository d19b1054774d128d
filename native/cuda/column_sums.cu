#include "cuda/column_sums.h"

#include "cuda/launch.h"

namespace mendset::cuda {
namespace {

constexpr int kColumns = 32, kLanes = 8;

// grid: x shares of rows, y groups of 32 columns. Each of 8 threads per column adds every eighth row, then the eight in order.
__global__ void __launch_bounds__(kColumns* kLanes) column_partial_kernel(int64_t rows, int64_t columns, const float* x, int64_t ld, float* partials) {
  __shared__ float sums[kLanes][kColumns];
  const int lane = static_cast<int>(threadIdx.x) / kColumns, within = static_cast<int>(threadIdx.x) % kColumns;
  const int64_t column = static_cast<int64_t>(blockIdx.y) * kColumns + within;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kColumnSumRows, last = first + kColumnSumRows < rows ? first + kColumnSumRows : rows;
  float sum = 0.0f;
  if (column < columns) {
    for (int64_t t = first + lane; t < last; t += kLanes) sum += x[t * ld + column];
  }
  sums[lane][within] = sum;
  __syncthreads();
  if (lane != 0 || column >= columns) return;
  for (int l = 1; l < kLanes; ++l) sum += sums[l][within];
  partials[static_cast<int64_t>(blockIdx.x) * columns + column] = sum;
}

__global__ void __launch_bounds__(256) column_final_kernel(int64_t shares, int64_t columns, const float* partials, float beta, float* out) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * 256 + threadIdx.x;
  if (column >= columns) return;
  float sum = 0.0f;
  for (int64_t s = 0; s < shares; ++s) sum += partials[s * columns + column];
  out[column] = beta == 0.0f ? sum : fmaf(beta, out[column], sum);
}

}  // namespace

int32_t column_sums(Context& context, int64_t rows, int64_t columns, const float* x, int64_t ld, float* partials, float beta, float* out) {
  if (columns == 0) return MS_OK;
  const int64_t shares = ceil_div<int64_t>(rows, kColumnSumRows);
  if (shares > 0) {
    const dim3 grid{static_cast<unsigned>(shares), blocks_for(columns, kColumns), 1};
    MS_CUDA_TRY(launch(context, column_partial_kernel, grid, kColumns * kLanes, 0, rows, columns, x, ld, partials));
  }
  return column_sums_final(context, shares, columns, partials, beta, out);
}

int32_t column_sums_final(Context& context, int64_t shares, int64_t columns, const float* partials, float beta, float* out) {
  return launch(context, column_final_kernel, dim3{blocks_for(columns, 256), 1, 1}, 256, 0, shares, columns, partials, beta, out);
}

}  // namespace mendset::cuda
