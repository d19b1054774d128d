// Per-sample squared gradient norms of norms and embeddings. Sums in fp64, in a fixed order.
#include "cuda/cuda_operations.h"
#include "cuda/launch.h"
#include "cuda/reduce.h"
#include "cuda/sample_sums.h"

namespace mendset::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kColumns = 32, kLanes = 8;
constexpr int kTiedRows = 8;

// Adds `count` partial sums of every sample in order. partials [samples, count].
__global__ void __launch_bounds__(kThreads) uniform_final_kernel(int64_t samples, int64_t count, const double* partials, double* squares, int64_t stride) {
  const int64_t s = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (s >= samples) return;
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += partials[s * count + i];
  squares[s * stride] += sum;
}

// partials [2, samples, column groups]: squares of the columns' sums of xhat o d_y and of d_y.
__global__ void __launch_bounds__(kColumns* kLanes) norm_squares_kernel(ms_norm_sample_norm_args a, int64_t groups, double* partials) {
  __shared__ double sums[2][kLanes][kColumns];
  const int lane = static_cast<int>(threadIdx.x) / kColumns, within = static_cast<int>(threadIdx.x) % kColumns;
  const int64_t s = blockIdx.x, column = static_cast<int64_t>(blockIdx.y) * kColumns + within;
  const int64_t stretches = a.groups > 0 ? a.groups : 1, ld_x = a.groups > 0 ? a.ld_x : a.width, ld_y = a.groups > 0 ? a.ld_y : a.width;
  double gain = 0, bias = 0;
  if (column < a.width) {
    for (int64_t t = a.offsets[s] + lane; t < a.offsets[s + 1]; t += kLanes) {
      const double mean = a.kind == MS_NORM_LAYER ? static_cast<double>(a.mean[t]) : 0.0;
      for (int64_t g = 0; g < stretches; ++g) {
        const double d_y = static_cast<double>(a.d_y[t * ld_y + g * a.width + column]);
        const double x = static_cast<double>(a.x[t * ld_x + g * a.width + column]);
        gain = fma((x - mean) * static_cast<double>(a.rstd[t * stretches + g]), d_y, gain);
        bias += d_y;
      }
    }
  }
  sums[0][lane][within] = gain;
  sums[1][lane][within] = bias;
  __syncthreads();
  if (lane > 1) return;
  double sum = 0;
  for (int l = 0; l < kLanes; ++l) sum += sums[lane][l][within];
  const double square = warp_sum(sum * sum);
  if (within == 0) partials[(lane * a.samples + s) * groups + blockIdx.y] = square;
}

// A block per row: when the row is its sample's first of that key, the square of the sum of all rows of the sample with that key.
__global__ void __launch_bounds__(kThreads) grouped_squares_kernel(int64_t width, int64_t samples, const int32_t* offsets, const int32_t* keys, const float* e, double* partials) {
  __shared__ double sums[32];
  __shared__ unsigned found[kThreads / kWarp];
  const int64_t own = blockIdx.x, s = sample_of_row(offsets, samples, own), begin = offsets[s], end = offsets[s + 1];
  const int32_t key = keys[own];
  const int thread = static_cast<int>(threadIdx.x);
  for (int64_t first = begin; first < own; first += kThreads) {
    const unsigned votes = __ballot_sync(kFullWarp, first + thread < own && keys[first + thread] == key);
    if (thread % kWarp == 0) found[thread / kWarp] = votes;
    __syncthreads();
    bool any = false;
    for (int w = 0; w < kThreads / kWarp; ++w) any = any || found[w] != 0;
    __syncthreads();
    if (!any) continue;
    if (thread == 0) partials[own] = 0;
    return;
  }
  double square = 0;
  for (int64_t c = thread; c < width; c += kThreads) {
    double sum = 0;
    for (int64_t t = own; t < end; ++t) {
      if (keys[t] == key) sum += static_cast<double>(e[t * width + c]);
    }
    square = fma(sum, sum, square);
  }
  square = block_sum(square, sums);
  if (thread == 0) partials[own] = square;
}

// 2 sum_u columns(u, t) (h_u . e_t) for eight rows t of one sample, added to their partial sums. grid: x groups of eight rows within the
// longest sample, y samples.
__global__ void __launch_bounds__(kThreads) tied_cross_kernel(ms_embed_sample_norm_args a, double* partials) {
  __shared__ double sums[32];
  const int64_t s = blockIdx.y, begin = a.offsets[s], length = a.offsets[s + 1] - begin, first = static_cast<int64_t>(blockIdx.x) * kTiedRows;
  if (first >= length) return;
  const float* const columns = a.columns + a.column_offsets[s];
  double cross[kTiedRows] = {};
  for (int64_t c = threadIdx.x; c < a.width; c += kThreads) {
    float weighted[kTiedRows] = {};
    for (int64_t u = 0; u < length; ++u) {
      const float h = a.hidden[(begin + u) * a.width + c];
MS_UNROLL
      for (int i = 0; i < kTiedRows; ++i) weighted[i] = fmaf(first + i < length ? columns[u * length + first + i] : 0.0f, h, weighted[i]);
    }
MS_UNROLL
    for (int i = 0; i < kTiedRows; ++i) {
      if (first + i < length) cross[i] = fma(static_cast<double>(weighted[i]), static_cast<double>(a.e[(begin + first + i) * a.width + c]), cross[i]);
    }
  }
MS_UNROLL
  for (int i = 0; i < kTiedRows; ++i) {
    const double sum = block_sum(cross[i], sums);
    if (threadIdx.x == 0 && first + i < length) partials[begin + first + i] += 2 * sum;
  }
}

__global__ void __launch_bounds__(kThreads) gather_columns_kernel(ms_gather_columns_args a) {
  const int64_t i = blockIdx.x, s = a.sample_of[i], begin = a.offsets[s], length = a.offsets[s + 1] - begin;
  float* const out = a.columns + a.column_offsets[s] + (a.row_of[i] - begin) * length;
  for (int64_t t = threadIdx.x; t < length; t += kThreads) out[t] = a.p[i * a.vocab + a.ids[begin + t]];
}

__global__ void __launch_bounds__(kThreads) sample_sums_kernel(const int32_t* offsets, const double* partials, double* squares, int64_t stride) {
  __shared__ double sums[32];
  const int64_t s = blockIdx.x;
  double sum = 0;
  for (int64_t t = offsets[s] + threadIdx.x; t < offsets[s + 1]; t += kThreads) sum += partials[t];
  sum = block_sum(sum, sums);
  if (threadIdx.x == 0) squares[s * stride] += sum;
}

}  // namespace

int32_t norm_sample_norm(Context& context, const ms_norm_sample_norm_args& a) {
  if (a.samples == 0 || a.width == 0) return MS_OK;
  const int64_t groups = ceil_div<int64_t>(a.width, kColumns);
  std::byte* memory;
  MS_CUDA_TRY(reserve(context, static_cast<size_t>(2 * a.samples * groups) * sizeof(double), &memory));
  auto* const partials = at<double>(memory, 0);
  MS_CUDA_TRY(launch(context, norm_squares_kernel, dim3{static_cast<unsigned>(a.samples), static_cast<unsigned>(groups), 1}, kColumns * kLanes, 0, a, groups, partials));
  const dim3 grid{blocks_for(a.samples, kThreads), 1, 1};
  if (a.gain_squares != nullptr) MS_CUDA_TRY(launch(context, uniform_final_kernel, grid, kThreads, 0, a.samples, groups, partials, a.gain_squares, a.stride));
  if (a.bias_squares == nullptr) return MS_OK;
  return launch(context, uniform_final_kernel, grid, kThreads, 0, a.samples, groups, partials + a.samples * groups, a.bias_squares, a.stride);
}

int32_t embed_sample_norm(Context& context, const ms_embed_sample_norm_args& a) {
  if (a.samples == 0 || a.rows == 0 || a.width == 0) return MS_OK;
  std::byte* memory;
  MS_CUDA_TRY(reserve(context, static_cast<size_t>(a.rows) * sizeof(double), &memory));
  auto* const partials = at<double>(memory, 0);
  const dim3 rows{static_cast<unsigned>(a.rows), 1, 1}, samples{static_cast<unsigned>(a.samples), 1, 1};
  if (a.token_squares != nullptr) {
    MS_CUDA_TRY(launch(context, grouped_squares_kernel, rows, kThreads, 0, a.width, a.samples, a.offsets, a.ids, a.e, partials));
    for (int64_t first = 0; a.hidden != nullptr && first < a.samples; first += 65535) {  // a grid's y ends there
      ms_embed_sample_norm_args part = a;
      part.offsets += first;
      part.column_offsets += first;
      const int64_t count = a.samples - first < 65535 ? a.samples - first : 65535;
      MS_CUDA_TRY(launch(context, tied_cross_kernel, dim3{blocks_for(a.rows, kTiedRows), static_cast<unsigned>(count), 1}, kThreads, 0, part, partials));
    }
    MS_CUDA_TRY(launch(context, sample_sums_kernel, samples, kThreads, 0, a.offsets, partials, a.token_squares, a.stride));
  }
  if (a.position_squares == nullptr) return MS_OK;
  MS_CUDA_TRY(launch(context, grouped_squares_kernel, rows, kThreads, 0, a.width, a.samples, a.offsets, a.positions, a.e, partials));
  return launch(context, sample_sums_kernel, samples, kThreads, 0, a.offsets, partials, a.position_squares, a.stride);
}

int32_t gather_columns(Context& context, const ms_gather_columns_args& a) {
  if (a.rows == 0) return MS_OK;
  return launch(context, gather_columns_kernel, dim3{static_cast<unsigned>(a.rows), 1, 1}, kThreads, 0, a);
}

}  // namespace mendset::cuda
