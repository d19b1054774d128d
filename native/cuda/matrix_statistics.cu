// Means, covariance and projections, fp64, over fixed shares of rows; and what a row looks like to the filter of k-means.
#include "cuda/canonical.h"
#include "cuda/cuda_operations.h"
#include "cuda/launch.h"
#include "cuda/reduce.h"

namespace mendset::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kColumns = 32, kLanes = 8;
constexpr int64_t kMeanRows = 1024;  // of one partial sum
constexpr int kSide = 32;            // of a tile of the covariance
constexpr int kOutputs = 16;         // rows and components of one block of a projection

// grid: x shares of rows, y groups of 32 columns.
__global__ void __launch_bounds__(kColumns* kLanes) column_sums_kernel(ms_column_means_args a, double* partials) {
  __shared__ double sums[kLanes][kColumns];
  const int lane = static_cast<int>(threadIdx.x) / kColumns, within = static_cast<int>(threadIdx.x) % kColumns;
  const int64_t column = static_cast<int64_t>(blockIdx.y) * kColumns + within;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kMeanRows, last = first + kMeanRows < a.n ? first + kMeanRows : a.n;
  double sum = 0;
  if (column < a.d) {
    for (int64_t i = first + lane; i < last; i += kLanes) sum += static_cast<double>(a.x[i * a.d + column]);
  }
  sums[lane][within] = sum;
  __syncthreads();
  if (lane != 0 || column >= a.d) return;
  for (int l = 1; l < kLanes; ++l) sum += sums[l][within];
  partials[static_cast<int64_t>(blockIdx.x) * a.d + column] = sum;
}

__global__ void __launch_bounds__(kThreads) column_means_kernel(int64_t n, int64_t d, int64_t shares, const double* partials, double* mean) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (column >= d) return;
  double sum = 0;
  for (int64_t s = 0; s < shares; ++s) sum += partials[s * d + column];
  mean[column] = n > 0 ? sum / static_cast<double>(n) : 0.0;
}

// grid: x, y tiles of 32 x 32 columns (y <= x), z shares of rows. A thread has four sums of one column q.
__global__ void __launch_bounds__(kThreads) covariance_kernel(ms_covariance_args a, int64_t share_rows, double* partials) {
  if (blockIdx.y > blockIdx.x) return;
  __shared__ double left[kSide][kSide], right[kSide][kSide];
  const int64_t p = static_cast<int64_t>(blockIdx.x) * kSide, q = static_cast<int64_t>(blockIdx.y) * kSide;
  const int64_t first = static_cast<int64_t>(blockIdx.z) * share_rows, last = first + share_rows < a.n ? first + share_rows : a.n;
  const int column = static_cast<int>(threadIdx.x) % kSide, group = static_cast<int>(threadIdx.x) / kSide;
  double sum[4] = {};
  for (int64_t i = first; i < last; i += kSide) {
    __syncthreads();
    for (int r = group; r < kSide; r += kThreads / kSide) {
      const int64_t row = i + r;
      left[r][column] = row < last && p + column < a.d ? static_cast<double>(a.x[row * a.d + p + column]) - a.mean[p + column] : 0.0;
      right[r][column] = row < last && q + column < a.d ? static_cast<double>(a.x[row * a.d + q + column]) - a.mean[q + column] : 0.0;
    }
    __syncthreads();
MS_UNROLL_BY(4)
    for (int r = 0; r < kSide; ++r) {
      const double other = right[r][column];
MS_UNROLL
      for (int e = 0; e < 4; ++e) sum[e] = fma(left[r][group + e * (kThreads / kSide)], other, sum[e]);
    }
  }
MS_UNROLL
  for (int e = 0; e < 4; ++e) {
    const int64_t row = p + group + e * (kThreads / kSide);
    if (row < a.d && q + column < a.d) partials[(blockIdx.z * a.d + row) * a.d + q + column] = sum[e];
  }
}

__global__ void __launch_bounds__(kThreads) covariance_final_kernel(ms_covariance_args a, int64_t shares, const double* partials) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= a.d * a.d) return;
  const int64_t p = index / a.d, q = index % a.d;
  if (q > p) return;
  double sum = 0;
  for (int64_t s = 0; s < shares; ++s) sum += partials[(s * a.d + p) * a.d + q];
  sum /= static_cast<double>(a.n - 1);
  a.out[p * a.d + q] = sum;
  a.out[q * a.d + p] = sum;
}

__global__ void __launch_bounds__(kThreads) project_kernel(ms_project_args a) {
  __shared__ double rows[kOutputs][kOutputs + 1], components[kOutputs][kOutputs + 1];
  const int across = static_cast<int>(threadIdx.x) % kOutputs, down = static_cast<int>(threadIdx.x) / kOutputs;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kOutputs, r = static_cast<int64_t>(blockIdx.y) * kOutputs;
  double sum = 0;
  for (int64_t p = 0; p < a.d; p += kOutputs) {
    __syncthreads();
    const bool inside = p + across < a.d;
    rows[down][across] = inside && i + down < a.n ? static_cast<double>(a.x[(i + down) * a.d + p + across]) - a.mean[p + across] : 0.0;
    components[down][across] = inside && r + down < a.r ? a.components[(r + down) * a.d + p + across] : 0.0;
    __syncthreads();
MS_UNROLL
    for (int k = 0; k < kOutputs; ++k) sum = fma(rows[down][k], components[across][k], sum);
  }
  if (i + down < a.n && r + across < a.r) a.y[(i + down) * a.r + r + across] = static_cast<float>(sum);
}

// A block per row.
__global__ void __launch_bounds__(kThreads) filter_heads_kernel(ms_filter_heads_args a) {
  __shared__ double sums[32];
  const int64_t i = blockIdx.x;
  const float* const x = a.x + i * a.d;
  float* const out = a.heads + i * (a.r + 1);
  double length = 0, spread = 0, head = 0;
  for (int64_t p = threadIdx.x; p < a.d; p += kThreads) {
    const double value = static_cast<double>(x[p]), difference = value - static_cast<double>(a.mean[p]);
    length = fma(value, value, length);
    spread = fma(difference, difference, spread);
  }
  for (int64_t j = threadIdx.x; j < a.r; j += kThreads) {
    const float* const direction = a.directions + j * a.d;
    float sum = 0.0f;
    for (int64_t p = 0; p < a.d; ++p) sum = fmaf(direction[p], x[p] - a.mean[p], sum);
    out[j] = sum;
    head = fma(static_cast<double>(sum), static_cast<double>(sum), head);
  }
  length = block_sum(length, sums);
  spread = block_sum(spread, sums);
  head = block_sum(head, sums);
  if (threadIdx.x != 0) return;
  const double rest = spread - head + 3 * a.head_error * spread;
  out[a.r] = nextafterf(static_cast<float>(sqrt(rest > 0 ? rest : 0.0)), __int_as_float(0x7f800000));
  if (a.lengths != nullptr) a.lengths[i] = length;
  a.spreads[i] = spread;
}

}  // namespace

int32_t column_means(Context& context, const ms_column_means_args& a) {
  if (a.d == 0) return MS_OK;
  const int64_t shares = ceil_div<int64_t>(a.n, kMeanRows);
  std::byte* memory;
  MS_CUDA_TRY(reserve(context, static_cast<size_t>(shares * a.d) * sizeof(double), &memory));
  auto* const partials = at<double>(memory, 0);
  if (shares > 0) MS_CUDA_TRY(launch(context, column_sums_kernel, dim3{static_cast<unsigned>(shares), blocks_for(a.d, kColumns), 1}, kColumns * kLanes, 0, a, partials));
  return launch(context, column_means_kernel, dim3{blocks_for(a.d, kThreads), 1, 1}, kThreads, 0, a.n, a.d, shares, partials, a.mean);
}

int32_t covariance(Context& context, const ms_covariance_args& a) {
  if (a.d == 0) return MS_OK;
  const int64_t tiles = ceil_div<int64_t>(a.d, kSide), pairs = tiles * (tiles + 1) / 2;
  int64_t shares = ceil_div<int64_t>(8 * context.multiprocessors, pairs);
  const int64_t most = ceil_div<int64_t>(a.n, 16 * kSide);
  if (shares > most) shares = most > 0 ? most : 1;
  const int64_t share_rows = round_up<int64_t>(ceil_div<int64_t>(a.n, shares), kSide);
  std::byte* memory;
  MS_CUDA_TRY(reserve(context, static_cast<size_t>(shares * a.d * a.d) * sizeof(double), &memory));
  auto* const partials = at<double>(memory, 0);
  MS_CUDA_TRY(launch(context, covariance_kernel, dim3{static_cast<unsigned>(tiles), static_cast<unsigned>(tiles), static_cast<unsigned>(shares)}, kThreads, 0, a, share_rows,
                     partials));
  return launch(context, covariance_final_kernel, dim3{blocks_for(a.d * a.d, kThreads), 1, 1}, kThreads, 0, a, shares, partials);
}

int32_t project(Context& context, const ms_project_args& a) {
  if (a.n == 0 || a.r == 0) return MS_OK;
  return launch(context, project_kernel, dim3{blocks_for(a.n, kOutputs), blocks_for(a.r, kOutputs), 1}, kThreads, 0, a);
}

int32_t filter_heads(Context& context, const ms_filter_heads_args& a) {
  if (a.n == 0) return MS_OK;
  return launch(context, filter_heads_kernel, dim3{static_cast<unsigned>(a.n), 1, 1}, kThreads, 0, a);
}

}  // namespace mendset::cuda
