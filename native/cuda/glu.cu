// The gated linear unit of an MLP and its gradient.
#include "cuda/activation.h"
#include "cuda/cuda_operations.h"
#include "cuda/launch.h"

namespace mendset::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) glu_forward_kernel(ms_glu_forward_args a) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= a.rows * a.width) return;
  const float* const gate = a.x + index / a.width * 2 * a.width + index % a.width;
  a.out[index] = activation(a.activation, gate[0]) * gate[a.width];
}

// A thread reads both of its numbers before it writes them: d_x may be x.
__global__ void __launch_bounds__(kThreads) glu_backward_kernel(ms_glu_backward_args a) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= a.rows * a.width) return;
  const int64_t place = index / a.width * 2 * a.width + index % a.width;
  const float gate = a.x[place], up = a.x[place + a.width], d_out = a.d_out[index];
  a.d_x[place] = d_out * up * activation_derivative(a.activation, gate);
  a.d_x[place + a.width] = d_out * activation(a.activation, gate);
}

}  // namespace

int32_t glu_forward(Context& context, const ms_glu_forward_args& a) {
  if (a.rows * a.width == 0) return MS_OK;
  return launch(context, glu_forward_kernel, dim3{blocks_for(a.rows * a.width, kThreads), 1, 1}, kThreads, 0, a);
}

int32_t glu_backward(Context& context, const ms_glu_backward_args& a) {
  if (a.rows * a.width == 0) return MS_OK;
  return launch(context, glu_backward_kernel, dim3{blocks_for(a.rows * a.width, kThreads), 1, 1}, kThreads, 0, a);
}

}  // namespace mendset::cuda
