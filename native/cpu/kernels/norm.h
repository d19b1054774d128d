// Kernels of layer norm and RMS norm, on consecutive rows of [rows, width] matrices.
#pragma once

#include <cstdint>

namespace mendset::cpu {

struct NormKernels {
  void (*forward)(int64_t rows, int64_t width, bool layer, float epsilon, const float* x, const float* gain, const float* bias,
                  float* y, float* mean, float* rstd);
  // d_gain, d_bias [width]: += sums over these rows; nullable together, as is d_x.
  void (*backward)(int64_t rows, int64_t width, bool layer, const float* x, const float* gain, const float* mean,
                   const float* rstd, const float* d_y, const float* d_residual, float* d_x, float* d_gain, float* d_bias);
};

}  // namespace mendset::cpu
