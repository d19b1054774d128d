// Rotary position embedding. Angles in fp64, as positions times small frequencies lose fp32's digits.
#include "cuda/cuda_operations.h"
#include "cuda/launch.h"

namespace mendset::cuda {
namespace {

constexpr int kThreads = 128;

// A thread per row and frequency turns that pair of columns in every head.
__global__ void __launch_bounds__(kThreads) rotary_kernel(ms_rotary_args a) {
  const int64_t half = a.dims / 2, index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= a.rows * half) return;
  const int64_t t = index / half, c = index % half;
  const double angle = (a.inverse ? -1.0 : 1.0) * static_cast<double>(a.positions[t]) * a.frequencies[c];
  const double magnitude = static_cast<double>(a.magnitude), cosine = magnitude * cos(angle), sine = magnitude * sin(angle);
  for (int64_t h = 0; h < a.heads; ++h) {
    float* const x = a.x + t * a.ld_x + h * a.head_dim + c;
    const double first = static_cast<double>(x[0]), second = static_cast<double>(x[half]);
    x[0] = static_cast<float>(first * cosine - second * sine);
    x[half] = static_cast<float>(second * cosine + first * sine);
  }
}

}  // namespace

int32_t rotary(Context& context, const ms_rotary_args& a) {
  const int64_t count = a.rows * (a.dims / 2);
  if (count == 0) return MS_OK;
  return launch(context, rotary_kernel, dim3{blocks_for(count, kThreads), 1, 1}, kThreads, 0, a);
}

}  // namespace mendset::cuda
