// Optimiser updates. A call covers as many consecutive parameters as the caller has: all tensors of a block lie side by side.
#include <cmath>

#include "cuda/cuda_operations.h"
#include "cuda/launch.h"

namespace mendset::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) rmsprop_kernel(ms_rmsprop_args a) {
  const float rest = 1.0f - a.alpha;  // exact for alpha >= 0.5
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < a.count; i += static_cast<int64_t>(gridDim.x) * kThreads) {
    const float g = a.grad_scale * a.g[i];
    const float v = fmaf(a.alpha, a.v[i], rest * g * g);
    a.v[i] = v;
    a.w[i] -= a.lr * g / (sqrtf(v) + a.epsilon);
  }
}

// rest1, rest2: 1 - beta; rate: lr / (1 - beta1^step); root_correction2: 1 / sqrt(1 - beta2^step); decay: 1 - lr weight_decay. Formed in fp64.
__global__ void __launch_bounds__(kThreads) adamw_kernel(ms_adamw_args a, float rest1, float rest2, float rate, float root_correction2, float decay) {
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < a.count; i += static_cast<int64_t>(gridDim.x) * kThreads) {
    const float g = a.grad_scale * a.g[i];
    const float m = fmaf(a.beta1, a.m[i], rest1 * g), v = fmaf(a.beta2, a.v[i], rest2 * g * g);
    a.m[i] = m;
    a.v[i] = v;
    a.w[i] = fmaf(a.w[i], decay, -rate * m / fmaf(sqrtf(v), root_correction2, a.epsilon));
  }
}

}  // namespace

int32_t rmsprop(Context& context, const ms_rmsprop_args& a) {
  if (a.count == 0) return MS_OK;
  return launch(context, rmsprop_kernel, dim3{blocks_for(a.count, kThreads * 4), 1, 1}, kThreads, 0, a);
}

int32_t adamw(Context& context, const ms_adamw_args& a) {
  if (a.count == 0) return MS_OK;
  const double beta1 = a.beta1, beta2 = a.beta2, step = static_cast<double>(a.step);
  const double rate = static_cast<double>(a.lr) / (1 - std::pow(beta1, step)), root = 1 / std::sqrt(1 - std::pow(beta2, step));
  const double decay = 1 - static_cast<double>(a.lr) * static_cast<double>(a.weight_decay);
  return launch(context, adamw_kernel, dim3{blocks_for(a.count, kThreads * 4), 1, 1}, kThreads, 0, a, static_cast<float>(1 - beta1), static_cast<float>(1 - beta2),
                static_cast<float>(rate), static_cast<float>(root), static_cast<float>(decay));
}

}  // namespace mendset::cuda
