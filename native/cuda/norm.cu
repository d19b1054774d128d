// Layer norm and RMS norm: a warp per row; parameter gradients as column sums over fixed shares of rows.
#include "cuda/cuda_operations.h"
#include "cuda/launch.h"
#include "cuda/reduce.h"

namespace mendset::cuda {
namespace {

constexpr int kThreads = 256, kRowsPerBlock = kThreads / kWarp;
constexpr int kColumns = 32, kLanes = 8;
constexpr int64_t kShareRows = 128;

// What is normed at once: a row, or one of the groups of a row. Where it lies in x and in y; its number is its place among the statistics.
struct Stretch {
  int64_t x, y;
};
template <typename Args>
__host__ __device__ __forceinline__ int64_t stretches(const Args& a) {
  return a.rows * (a.groups > 0 ? a.groups : 1);
}
template <typename Args>
__device__ __forceinline__ Stretch stretch(const Args& a, int64_t i) {
  if (a.groups == 0) return {i * a.width, i * a.width};
  const int64_t row = i / a.groups, group = i % a.groups;
  return {row * a.ld_x + group * a.width, row * a.ld_y + group * a.width};
}

__global__ void __launch_bounds__(kThreads) norm_forward_kernel(ms_norm_forward_args a) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kRowsPerBlock + threadIdx.x / kWarp;
  if (row >= stretches(a)) return;
  const bool layer = a.kind == MS_NORM_LAYER;
  const int64_t lane = threadIdx.x % kWarp;
  const Stretch at = stretch(a, row);
  const float* const x = a.x + at.x;
  const auto width = static_cast<float>(a.width);
  float mean = 0.0f;
  if (layer) {
    for (int64_t c = lane; c < a.width; c += kWarp) mean += x[c];
    mean = warp_sum(mean) / width;
  }
  float variance = 0.0f;
  for (int64_t c = lane; c < a.width; c += kWarp) {
    const float difference = x[c] - mean;
    variance = fmaf(difference, difference, variance);
  }
  const float rstd = 1.0f / sqrtf(warp_sum(variance) / width + a.epsilon);
  for (int64_t c = lane; c < a.width; c += kWarp) {
    const float bias = layer && a.bias != nullptr ? a.bias[c] : 0.0f;
    a.y[at.y + c] = fmaf((x[c] - mean) * rstd, a.gain[c], bias);
  }
  if (lane != 0) return;
  if (layer && a.mean != nullptr) a.mean[row] = mean;
  if (a.rstd != nullptr) a.rstd[row] = rstd;
}

__global__ void __launch_bounds__(kThreads) norm_backward_kernel(ms_norm_backward_args a) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kRowsPerBlock + threadIdx.x / kWarp;
  if (row >= stretches(a)) return;
  const bool layer = a.kind == MS_NORM_LAYER;
  const int64_t lane = threadIdx.x % kWarp;
  const Stretch at = stretch(a, row);
  const float mean = layer ? a.mean[row] : 0.0f, rstd = a.rstd[row];
  const auto width = static_cast<float>(a.width);
  float g_sum = 0.0f, g_xhat_sum = 0.0f;
  for (int64_t c = lane; c < a.width; c += kWarp) {
    const float g = a.d_y[at.y + c] * a.gain[c];
    g_sum += g;
    g_xhat_sum = fmaf(g, (a.x[at.x + c] - mean) * rstd, g_xhat_sum);
  }
  const float g_mean = layer ? warp_sum(g_sum) / width : 0.0f, g_xhat_mean = warp_sum(g_xhat_sum) / width;
  for (int64_t c = lane; c < a.width; c += kWarp) {  // d_x may be d_y or d_residual: an element is read before it is written
    const float g = a.d_y[at.y + c] * a.gain[c], xhat = (a.x[at.x + c] - mean) * rstd;
    const float residual = a.d_residual != nullptr ? a.d_residual[at.x + c] : 0.0f;
    a.d_x[at.x + c] = fmaf(rstd, fmaf(-xhat, g_xhat_mean, g - g_mean), residual);
  }
}

// grid: x shares of rows, y groups of 32 columns. partials [shares, 2, width]: sums of d_y o xhat and of d_y.
__global__ void __launch_bounds__(kColumns* kLanes) norm_parameters_kernel(ms_norm_backward_args a, float* partials) {
  __shared__ float sums[2][kLanes][kColumns];
  const int lane = static_cast<int>(threadIdx.x) / kColumns, within = static_cast<int>(threadIdx.x) % kColumns;
  const int64_t column = static_cast<int64_t>(blockIdx.y) * kColumns + within, share = blockIdx.x;
  const int64_t all = stretches(a), last = (share + 1) * kShareRows < all ? (share + 1) * kShareRows : all;
  float gain = 0.0f, bias = 0.0f;
  if (column < a.width) {
    for (int64_t t = share * kShareRows + lane; t < last; t += kLanes) {
      const Stretch at = stretch(a, t);
      const float d_y = a.d_y[at.y + column], mean = a.kind == MS_NORM_LAYER ? a.mean[t] : 0.0f;
      gain = fmaf(d_y, (a.x[at.x + column] - mean) * a.rstd[t], gain);
      bias += d_y;
    }
  }
  sums[0][lane][within] = gain;
  sums[1][lane][within] = bias;
  __syncthreads();
  if (lane > 1 || column >= a.width) return;
  float sum = 0.0f;
  for (int l = 0; l < kLanes; ++l) sum += sums[lane][l][within];
  partials[(share * 2 + lane) * a.width + column] = sum;
}

__global__ void __launch_bounds__(kThreads) norm_parameters_final_kernel(int64_t shares, int64_t width, const float* partials, float* d_gain, float* d_bias) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (column >= width) return;
  float* const out = blockIdx.y == 0 ? d_gain : d_bias;
  if (out == nullptr) return;
  float sum = 0.0f;
  for (int64_t s = 0; s < shares; ++s) sum += partials[(s * 2 + blockIdx.y) * width + column];
  out[column] += sum;
}

}  // namespace

int32_t norm_forward(Context& context, const ms_norm_forward_args& a) {
  if (a.rows == 0) return MS_OK;
  return launch(context, norm_forward_kernel, dim3{blocks_for(stretches(a), kRowsPerBlock), 1, 1}, kThreads, 0, a);
}

int32_t norm_backward(Context& context, const ms_norm_backward_args& a) {
  if (a.rows == 0 || a.width == 0) return MS_OK;
  if (a.d_gain != nullptr || a.d_bias != nullptr) {  // first: d_x may overwrite d_y
    const int64_t shares = ceil_div<int64_t>(stretches(a), kShareRows);
    std::byte* memory;
    MS_CUDA_TRY(reserve(context, static_cast<size_t>(shares * 2 * a.width) * sizeof(float), &memory));
    auto* const partials = at<float>(memory, 0);
    MS_CUDA_TRY(launch(context, norm_parameters_kernel, dim3{static_cast<unsigned>(shares), blocks_for(a.width, kColumns), 1}, kColumns * kLanes, 0, a, partials));
    MS_CUDA_TRY(launch(context, norm_parameters_final_kernel, dim3{blocks_for(a.width, kThreads), 2, 1}, kThreads, 0, shares, a.width, partials, a.d_gain, a.d_bias));
  }
  if (a.d_x == nullptr) return MS_OK;
  return launch(context, norm_backward_kernel, dim3{blocks_for(stretches(a), kRowsPerBlock), 1, 1}, kThreads, 0, a);
}

}  // namespace mendset::cuda
