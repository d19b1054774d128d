// Attention: which kernels serve a call.
#include "cuda/attention.h"

#include "cuda/cuda_operations.h"
#include "cuda/launch.h"
#include "cuda/reduce.h"

namespace mendset::cuda {
namespace {

constexpr int kThreads = 256;

// D_i = d_out_i . out_i of every row and head, a warp each.
__global__ void __launch_bounds__(kThreads) attention_d_kernel(ms_attention_backward_args a, float* d) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * (kThreads / kWarp) + threadIdx.x / kWarp;
  if (index >= a.rows * a.heads) return;
  const int64_t first = index / a.heads * a.ld_out + index % a.heads * a.head_dim;
  float sum = 0.0f;
  for (int64_t c = threadIdx.x % kWarp; c < a.head_dim; c += kWarp) sum = fmaf(a.d_out[first + c], a.out[first + c], sum);
  sum = warp_sum(sum);
  if (threadIdx.x % kWarp == 0) d[index] = sum;
}

bool tensor(const Context& context, int32_t head_dim) { return context.precision == Precision::bf16 && head_dim <= kTensorHead; }

}  // namespace

int32_t attention_forward(Context& context, const ms_attention_forward_args& a) {
  if (a.rows == 0 || a.samples == 0 || a.max_length == 0 || a.heads == 0 || a.head_dim == 0) return MS_OK;
  return tensor(context, a.head_dim) ? attention_forward_tensor(context, a) : attention_forward_plain(context, a);
}

int32_t attention_backward(Context& context, const ms_attention_backward_args& a) {
  if (a.rows == 0 || a.samples == 0 || a.max_length == 0 || a.heads == 0 || a.head_dim == 0) return MS_OK;
  std::byte* memory;
  MS_CUDA_TRY(reserve(context, static_cast<size_t>(a.rows * a.heads) * sizeof(float), &memory));
  auto* const d = at<float>(memory, 0);
  MS_CUDA_TRY(launch(context, attention_d_kernel, dim3{blocks_for(a.rows * a.heads, kThreads / kWarp), 1, 1}, kThreads, 0, a, d));
  return tensor(context, a.head_dim) ? attention_backward_tensor(context, a, d) : attention_backward_plain(context, a, d);
}

}  // namespace mendset::cuda
