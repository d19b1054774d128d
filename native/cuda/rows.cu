// Moving, filling and summing rows.
#include "cuda/cuda_operations.h"
#include "cuda/launch.h"
#include "cuda/reduce.h"

namespace mendset::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kSumShare = 1 << 14;  // numbers of one partial sum
constexpr int kMeanThreads = 128;

__global__ void __launch_bounds__(kThreads) gather_rows_kernel(ms_gather_rows_args a) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index < a.rows * a.width) a.out[index] = a.x[a.index[index / a.width] * a.width + index % a.width];
}

__global__ void __launch_bounds__(kThreads) scatter_rows_kernel(ms_scatter_rows_args a) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index < a.rows * a.width) a.out[a.index[index / a.width] * a.width + index % a.width] = a.x[index];
}

__global__ void __launch_bounds__(kThreads) fill_kernel(ms_fill_args a) {
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < a.count; i += static_cast<int64_t>(gridDim.x) * kThreads) a.out[i] = a.value;
}

// A block per sample. A column's mean is formed twice rather than kept: samples are short and widths are not bounded.
__global__ void __launch_bounds__(kMeanThreads) mean_pool_kernel(ms_mean_pool_args a) {
  __shared__ double sums[32];
  const int64_t s = blockIdx.x, begin = a.offsets[s], end = a.offsets[s + 1];
  const auto mean = [&](int64_t c) {
    double sum = 0;
    for (int64_t t = begin; t < end; ++t) sum += static_cast<double>(a.x[t * a.width + c]);
    return end > begin ? sum / static_cast<double>(end - begin) : 0.0;
  };
  double divisor = 1;
  if (a.normalize) {
    double squares = 0;
    for (int64_t c = threadIdx.x; c < a.width; c += kMeanThreads) {
      const double value = mean(c);
      squares = fma(value, value, squares);
    }
    const double length = sqrt(block_sum(squares, sums));
    divisor = length < 1e-12 ? 1e-12 : length;  // what is not a number stays so
  }
  for (int64_t c = threadIdx.x; c < a.width; c += kMeanThreads) a.out[s * a.width + c] = static_cast<float>(mean(c) / divisor);
}

__global__ void __launch_bounds__(kThreads) sum_squares_kernel(int64_t count, const float* x, double* partials) {
  __shared__ double sums[32];
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kSumShare, last = first + kSumShare < count ? first + kSumShare : count;
  double sum = 0;
  for (int64_t i = first + threadIdx.x; i < last; i += kThreads) sum = fma(static_cast<double>(x[i]), static_cast<double>(x[i]), sum);
  sum = block_sum(sum, sums);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kThreads) sum_squares_final_kernel(int64_t shares, const double* partials, double* out) {
  __shared__ double sums[32];
  double sum = 0;
  for (int64_t i = threadIdx.x; i < shares; i += kThreads) sum += partials[i];
  sum = block_sum(sum, sums);
  if (threadIdx.x == 0) *out += sum;
}

}  // namespace

int32_t gather_rows(Context& context, const ms_gather_rows_args& a) {
  if (a.rows * a.width == 0) return MS_OK;
  return launch(context, gather_rows_kernel, dim3{blocks_for(a.rows * a.width, kThreads), 1, 1}, kThreads, 0, a);
}

int32_t scatter_rows(Context& context, const ms_scatter_rows_args& a) {
  if (a.rows * a.width == 0) return MS_OK;
  return launch(context, scatter_rows_kernel, dim3{blocks_for(a.rows * a.width, kThreads), 1, 1}, kThreads, 0, a);
}

int32_t fill(Context& context, const ms_fill_args& a) {
  if (a.count == 0) return MS_OK;
  if (a.value == 0.0f && __builtin_bit_cast(uint32_t, a.value) == 0) return zero(context, a.out, static_cast<size_t>(a.count) * sizeof(float));
  return launch(context, fill_kernel, dim3{blocks_for(a.count, kThreads * 8), 1, 1}, kThreads, 0, a);
}

int32_t mean_pool(Context& context, const ms_mean_pool_args& a) {
  if (a.samples * a.width == 0) return MS_OK;
  return launch(context, mean_pool_kernel, dim3{static_cast<unsigned>(a.samples), 1, 1}, kMeanThreads, 0, a);
}

int32_t sum_squares(Context& context, const ms_sum_squares_args& a) {
  if (a.count == 0) return MS_OK;
  const int64_t shares = ceil_div<int64_t>(a.count, kSumShare);
  std::byte* memory;
  MS_CUDA_TRY(reserve(context, static_cast<size_t>(shares) * sizeof(double), &memory));
  MS_CUDA_TRY(launch(context, sum_squares_kernel, dim3{static_cast<unsigned>(shares), 1, 1}, kThreads, 0, a.count, a.x, at<double>(memory, 0)));
  return launch(context, sum_squares_final_kernel, dim3{1, 1, 1}, kThreads, 0, shares, at<double>(memory, 0), a.out);
}

}  // namespace mendset::cuda
